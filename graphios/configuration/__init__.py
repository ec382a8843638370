"""The configuration: graphios.ini, the configuration file of Graphios 2, and what both come to."""
