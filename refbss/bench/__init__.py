"""Timing refbss against other frameworks: the same work, checked to be the same, in turns in one process."""
