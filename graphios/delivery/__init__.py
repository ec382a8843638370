"""From the spool to the receivers: reading, progress, acknowledgement, replay, limits."""
