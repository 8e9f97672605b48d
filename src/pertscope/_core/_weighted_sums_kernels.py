"""Compiled loops of :mod:`pertscope._core.weighted_sums`.

Each group is summed by one thread, in the order of its rows: the same bytes for any number of them.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, parallel=True)
def add_csr(data, indices, indptr, rows, edges, weights, first_gene, sums):
    """Add the rows of a CSR block to the sums; group g has ``rows[edges[g]:edges[g + 1]]``."""
    for g in numba.prange(len(edges) - 1):
        into = sums[g, first_gene:]
        for r in range(edges[g], edges[g + 1]):
            row = rows[r]
            w = weights[row]
            for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
                into[np.uint32(indices[i])] += w * np.float64(data[i])


@numba.njit(cache=True, parallel=True)
def add_dense(x, rows, edges, weights, first_gene, sums):
    """Add the rows of a dense block; groups as in :func:`add_csr`."""
    for g in numba.prange(len(edges) - 1):
        into = sums[g, first_gene:]
        for r in range(edges[g], edges[g + 1]):
            row = rows[r]
            w = weights[row]
            for j in range(x.shape[1]):
                into[j] += w * np.float64(x[row, j])
