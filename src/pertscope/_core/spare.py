"""Conditions that can be held out while all that they apply is still applied elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from pertscope._core.conditions import Conditions


def spare_conditions(conditions: Conditions, drawn: np.ndarray, fraction: float) -> list[int]:
    """Of conditions in the order they were drawn, a share whose perturbations the rest applies.

    At least one where the share is positive; fewer than the share where no more can be spared.
    """
    times = Counter(p for i in drawn for p in conditions.components[i])
    chosen: list[int] = []
    wanted = max(round(fraction * len(drawn)), int(fraction > 0))
    for i in drawn:
        parts = conditions.components[i]
        if len(chosen) < wanted and all(times[p] > 1 for p in parts):
            chosen.append(int(i))
            times.subtract(parts)
    return chosen
