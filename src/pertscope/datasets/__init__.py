"""Screens to work with: public ones, fetched once, and simulated ones with known truth."""

from __future__ import annotations

from pertscope.datasets._load import load
from pertscope.datasets._names import names
from pertscope.datasets._read_cell_painting import read_cell_painting
from pertscope.datasets._relationships import relationships
from pertscope.datasets._simulate_graph import simulate_graph
from pertscope.datasets._simulate_screen import simulate_screen

__all__ = [
    "load",
    "names",
    "read_cell_painting",
    "relationships",
    "simulate_graph",
    "simulate_screen",
]
