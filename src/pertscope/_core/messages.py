"""Wording shared by error messages."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def listed(names: Iterable[object], limit: int = 5) -> str:
    """``'a', 'b', 'c' and 4 more``."""
    quoted = [repr(str(n)) for n in names]
    shown = ", ".join(quoted[:limit])
    return shown if len(quoted) <= limit else f"{shown} and {len(quoted) - limit} more"


def nearest(name: object, names: Iterable[object], limit: int = 3) -> str:
    """Name the entries of `names` nearest to `name`, or the first ones."""
    texts = [str(n) for n in names]
    lower = {n.lower(): n for n in reversed(texts)}
    close = [lower[m] for m in get_close_matches(str(name).lower(), lower, n=limit, cutoff=0.5)]
    return f"nearest: {listed(close)}" if close else f"there are: {listed(texts)}"
