"""The version of the distribution as graphios prints it; a test holds it equal to the checks' (neither imports the other)."""

VERSION = "1.1.0"
