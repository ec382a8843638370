"""Metric names: how raw text becomes name elements, how these make a name, and what is done to finished names."""
