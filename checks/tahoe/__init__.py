"""Tahoe-LAFS nodes and grids: what their web ports and the stats gatherer tell, as records, and what follows from it."""
