"""Compiled loops of :mod:`pertscope.ev._pairs`."""

from __future__ import annotations

import numba
import numpy as np

BLOCK_BYTES = 2**20
"""Rows of the right side that are used together: they stay in the cache of a core."""


@numba.njit(cache=True, nogil=True)
def _add_products(data, indices, i, stop, right, start, total):
    """Add stored values i to stop of a row, times their rows of `right` from column `start`.

    Four at a time, so that `total` is read and written once for all of them.
    """
    width = len(total)
    while i + 4 <= stop:
        a, b = np.float64(data[i]), np.float64(data[i + 1])
        c, d = np.float64(data[i + 2]), np.float64(data[i + 3])
        e, f = np.uint32(indices[i]), np.uint32(indices[i + 1])
        g, h = np.uint32(indices[i + 2]), np.uint32(indices[i + 3])
        for j in range(start, width):
            total[j] += a * right[e, j] + b * right[f, j] + c * right[g, j] + d * right[h, j]
        i += 4
    while i < stop:
        a, e = np.float64(data[i]), np.uint32(indices[i])
        for j in range(start, width):
            total[j] += a * right[e, j]
        i += 1


@numba.njit(cache=True, nogil=True)
def squared_distances(data, indices, indptr, right, own, out):
    """Squared distances of the rows of a CSR matrix to dense columns.

    `right` holds a column's values, and in its last row their sum of squares. With `own` the
    columns are the rows themselves: one half of the distances is the mirror of the other.
    """
    n_genes, width = right.shape[0] - 1, right.shape[1]
    step = max(1, BLOCK_BYTES // (8 * width))
    place = indptr[:-1].copy()
    out[:] = 0
    for first in range(0, n_genes, step):
        for row in range(len(place)):
            stop, end = place[row], indptr[row + 1]
            while stop < end and indices[stop] < first + step:
                stop += 1
            start = row + 1 if own else 0
            _add_products(data, indices, place[row], stop, right, start, out[row])
            place[row] = stop
    for row in range(len(place)):
        square = 0.0
        for i in range(indptr[row], indptr[row + 1]):
            square += np.float64(data[i]) ** 2
        for j in range(row + 1 if own else 0, width):
            out[row, j] = max(square + right[n_genes, j] - 2 * out[row, j], 0.0)
        if own:
            out[row, row] = 0.0
            for j in range(row):
                out[row, j] = out[j, row]
