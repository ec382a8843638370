"""Runs many checks at once, each isolated and with a deadline: once, resident and warm for NRPE, or as a worker of Nagios Core."""
