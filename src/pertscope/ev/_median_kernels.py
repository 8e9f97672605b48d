"""Compiled loops of :mod:`pertscope.ev._gap_intervals`."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, parallel=True)
def weighted_medians(values: np.ndarray, order: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Medians of values, each as often as it was drawn.

    Parameters
    ----------
    values
        float64 ``(columns, rows)``.
    order
        Ascending order of the rows of each column, int64 ``(columns, rows)``.
    counts
        How often each row was drawn, int64 ``(samples, rows)``, at least one of each sample.

    Returns
    -------
    float64 ``(samples, columns)``.
    """
    n_columns, n_rows = values.shape
    found = np.empty((len(counts), n_columns))
    for s in numba.prange(len(counts)):
        total = counts[s].sum()
        low, high = (total - 1) // 2, total // 2  # places of the two in the middle, or of the one
        for c in range(n_columns):
            seen, first, has_first = 0, 0.0, False
            for i in range(n_rows):
                row = order[c, i]
                seen += counts[s, row]
                if seen > low and not has_first:
                    first, has_first = values[c, row], True
                if seen > high:
                    found[s, c] = 0.5 * (first + values[c, row])
                    break
    return found
