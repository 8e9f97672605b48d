"""Metrics by family: one file each, one registry each."""
