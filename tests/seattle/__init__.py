"""Doubles of the Seattle testbed's servers, which can't be installed here: they speak from captured exchanges, byte for byte, with the servers' bugs
and their ways to fail. Each runs inside a test (as a context manager) or as a process of its own (`python -m tests.seattle.NAME`), to be
stopped and killed.
"""
