"""What goes wrong in a way the operator is told in one line."""


class GraphiosError(Exception):
    """The message is that line."""


class Stopped(Exception):
    """The process was told to end; what is not delivered stays in the spool."""
