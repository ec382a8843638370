"""The version of the distribution: a literal, because importlib.metadata would cost every check 35 ms."""

VERSION = "1.1.0"
