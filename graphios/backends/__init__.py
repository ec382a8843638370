"""The receivers graphios can deliver to, one module for each protocol."""
