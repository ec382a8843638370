"""The Seattle testbed's wire protocols: bytes to records and back, over TCP, UDP and HTTP. Nothing here knows Nagios.

Formats: the public SeattleTestbed sources (seattlelib, advertiseserver, nodemanager, softwareupdater, zenodotus), and exchanges captured from
the real servers, which the tests hold.
"""

ADVERTISE_PORT = 10102
"""Where all of Seattle's advertise servers listen, over TCP and over UDP."""
PROBE_TTL = 900
"""For how many seconds a value that a check puts is kept: longer than the interval of its runs, so that it never expires before another one."""
