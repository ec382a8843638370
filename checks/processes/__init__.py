"""Which processes run: what a command line runs, what procfs says of its processes, and how they are counted. No Nagios in it."""
