"""Nagios/NRPE checks for research infrastructure; each module named check_* is one command."""
