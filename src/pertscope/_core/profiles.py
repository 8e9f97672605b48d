"""Profiles of groups of cells: one vector per group."""

from __future__ import annotations

from typing import Any

import numpy as np

from pertscope._core.matrix import dense_rows
from pertscope._core.messages import listed
from pertscope._core.moments import moments

METHODS = ("mean", "median", "modz")
MIN_WEIGHT = 0.01
"""Least weight of a row in MODZ, before weights are divided by their sum."""


def aggregated(x: Any, codes: np.ndarray, n_groups: int, method: str) -> np.ndarray:
    """Aggregate the rows of each group, float64 ``(groups, features)``.

    Parameters
    ----------
    x
        Matrix of any kind ``(rows, features)``. The mean reads it in blocks; the median and MODZ
        make one group dense at a time.
    codes
        Group of each row, int64 ``(rows,)``; no group is empty.
    n_groups
        Number of groups.
    method
        ``"mean"``, ``"median"`` or ``"modz"``.

    Raises
    ------
    ValueError
        If a value is NaN or infinite.
    """
    if method == "mean":
        return moments(x, codes, n_groups).mean
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(codes, minlength=n_groups))[:-1])
    result = np.empty((n_groups, x.shape[1]))
    for group, rows in enumerate(parts):
        block = dense_rows(x, rows, np.float64)
        bad = rows[~np.isfinite(block).all(axis=1)]
        if len(bad):
            raise ValueError(f"rows hold NaN or infinite values: {listed(bad)}.")
        result[group] = np.median(block, axis=0) if method == "median" else modz(block)
    return result


def modz(x: np.ndarray) -> np.ndarray:
    """Mean of rows, weighted by how well each agrees with the others (moderated z-score).

    ``w_i`` is the mean over the other rows of their Spearman correlation with row i, negative ones
    counted as 0; at least 0.01, then divided by the sum over rows. A row without variation
    correlates with none.

    Parameters
    ----------
    x
        Rows, float64 ``(n, features)``.
    """
    n = len(x)
    if n == 1:
        return x[0].copy()
    from scipy.stats import rankdata

    ranks = rankdata(x, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    ranks /= np.where(length > 0, length, 1.0)
    correlation = np.maximum(ranks @ ranks.T, 0)
    np.fill_diagonal(correlation, 0)
    weight = np.maximum(correlation.sum(axis=1) / (n - 1), MIN_WEIGHT)
    return (weight / weight.sum()) @ x
