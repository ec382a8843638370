"""What check_zenodotus asks, and what an operator is told when it goes wrong."""
