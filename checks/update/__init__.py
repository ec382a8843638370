"""What check_software_update is made of: the update site, a node's installation, and the process that keeps the two the same."""
