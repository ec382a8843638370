"""Everything that lists checks, generated from their own declarations: NRPE, Nagios and Graphite configuration, the README's tables.

Each room takes the checks and Settings, and returns its files: name below its folder, and text.
"""
