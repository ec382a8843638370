"""Which commands there are, which of them are checks of ours or of another package, and when each is due."""
