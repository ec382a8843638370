"""Doubles of what a Tahoe-LAFS check asks."""
