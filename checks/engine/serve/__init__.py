"""`testbed-checks serve`: the resident engine, warm checks for NRPE, and results handed on."""
