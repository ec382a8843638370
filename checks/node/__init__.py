"""What check_seattle_node makes of a node: limits for each status, why no node manager was found, whether it is advertised, and the output."""
