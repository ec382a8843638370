"""The fork server, its children, and the engine's side of it: every process that a check runs in."""
