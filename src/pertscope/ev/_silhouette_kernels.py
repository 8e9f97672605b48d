"""Compiled loops of :mod:`pertscope.ev._silhouette`."""

from __future__ import annotations

import numba
import numpy as np

STRIDE = 32
CLOSE = 0.1
"""Squared distance, as a share of the two squares it is the difference of, up to which a pair is
measured again: float32 has lost digits."""


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})  # lets sums be vectorised
def _sum_of_roots(squared):
    total = 0.0
    for j in range(len(squared)):
        total += np.float64(np.sqrt(squared[j]))
    return total


@numba.njit(cache=True, nogil=True)
def _measure_again(squared, limits, a, x):
    """Replace what is not above its limit by the float64 squared distance of `a` to its row."""
    for start in range(0, len(squared), STRIDE):
        some, limit = squared[start : start + STRIDE], limits[start : start + STRIDE]
        close = np.uint8(0)  # no wider, lest vectors hold fewer
        for j in range(len(some)):
            close |= some[j] <= limit[j]
        if not close:
            continue
        for j in range(len(some)):
            if some[j] <= limit[j]:
                total = 0.0
                for i in range(len(a)):
                    d = a[i] - x[start + j, i]
                    total += d * d
                some[j] = total


@numba.njit(cache=True, nogil=True)
def add_distances(squared, left_squares, right_squares, left, right, edges, sums):
    """Add the distances of each row to its sums, by labels of the columns, ``(rows, labels)``.

    `squared` are float32 squared distances of the points `left` to the points `right`, of which
    ``edges[c], ..., edges[c + 1] - 1`` are of label c.
    """
    n_rows, n_columns = squared.shape
    limits = np.empty(n_columns, np.float32)
    for row in range(n_rows):
        for j in range(n_columns):
            limits[j] = CLOSE * (left_squares[row] + right_squares[j])
        _measure_again(squared[row], limits, left[row], right)
        for c in range(len(edges) - 1):
            sums[row, c] += _sum_of_roots(squared[row, edges[c] : edges[c + 1]])
