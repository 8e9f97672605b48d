"""How often the right label is among the first few."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pertscope._core import keys

TOP = 5
TOP1, TOP5, BALANCED = "top1_accuracy", "top5_accuracy", "balanced_accuracy"


def accuracies(ranked: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Shares of cells whose label is the first, or among the first five, of a ranking.

    Parameters
    ----------
    ranked
        Codes of labels, best first, int64 ``(cells, r)``; -1 is no label.
    truth
        Code of each cell, int64 ``(cells,)``.

    Returns
    -------
    ``top1_accuracy``, ``top5_accuracy``, and ``balanced_accuracy``, the mean over the labels that
    occur of the share of their cells that are right at once.
    """
    hit = ranked[:, :TOP] == truth[:, None]
    n = np.bincount(truth)
    right = np.bincount(truth, hit[:, 0], minlength=len(n))
    return {
        TOP1: float(hit[:, 0].mean()),
        TOP5: float(hit.any(axis=1).mean()),
        BALANCED: float((right[n > 0] / n[n > 0]).mean()),
    }


def seed_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Tidy table of values by seed: what each row holds besides is a column of its own."""
    table = pd.DataFrame(rows).astype({keys.METRIC: "category", keys.VALUE: np.float64})
    table.index = table.index.astype(str)
    return table
