"""What the command `graphios` can be told to do besides shipping."""
