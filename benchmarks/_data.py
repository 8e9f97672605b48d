"""Where the real screens of tests and benchmarks lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def find(name: str) -> Path:
    """Path of a real screen under ``$PERTSCOPE_DATA`` or ``../shared/data``; ends where none is."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("PERTSCOPE_DATA", beside), name)
    if not path.exists():
        sys.exit(f"skipped: {path} does not exist, set PERTSCOPE_DATA")
    return path
