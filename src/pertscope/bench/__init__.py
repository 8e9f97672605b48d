"""Benchmark models: seeds and splits of a task, into one table that can be gone on with."""

from pertscope.bench._read import read
from pertscope.bench._run import run
from pertscope.bench._table import table
from pertscope.bench._to_text import to_text

__all__ = ["read", "run", "table", "to_text"]
