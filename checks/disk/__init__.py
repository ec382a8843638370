"""What check_disk looks at: the mounts of this machine, and how full their file systems are."""
