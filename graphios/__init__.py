"""Carries Nagios perfdata to Graphite: grammar, spool, delivery; and the tap."""
