"""Paths from one distribution of cells to another, and how to walk them."""
