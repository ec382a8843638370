"""What check_graphios reads: the status document of graphios, which ties the two by text only."""
