"""`testbed-checks run`: everything once, and what it shows."""
