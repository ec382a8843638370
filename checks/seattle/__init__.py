"""The Seattle testbed's wire protocols: bytes to records and back, over TCP, UDP and HTTP. Nothing here knows Nagios.

Formats: the public SeattleTestbed sources (seattlelib, advertiseserver, nodemanager, softwareupdater, zenodotus), and exchanges captured from
the real servers, which the tests hold.
"""

ADVERTISE_PORT = 10102
"""Where all of Seattle's advertise servers listen, over TCP and over UDP."""
