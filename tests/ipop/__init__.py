"""Doubles of what an IPOP check reads."""
