"""Compiled loops of :mod:`pertscope._core.centred_matrix`, over CSR."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, inline="always")
def _row_times(data, indices, start, stop, q, y):
    """Add a stored row times q to y."""
    for i in range(np.uint64(start), np.uint64(stop)):
        v = np.float64(data[i])
        j = np.uint32(indices[i])
        for k in range(q.shape[1]):
            y[k] += v * q[j, k]


@numba.njit(cache=True, parallel=True)
def times(data, indices, indptr, codes, q, offset, result):
    """Rows times q, minus the offset of their batch, into `result`."""
    for row in numba.prange(len(indptr) - 1):
        y = -offset[codes[row]]
        _row_times(data, indices, indptr[row], indptr[row + 1], q, y)
        for k in range(q.shape[1]):
            result[row, k] = y[k]


@numba.njit(cache=True, inline="never")
def _add_rows(data, indices, indptr, codes, q, offset, rows, part, y):
    """Add the outer products of rows and their y; a function of its own, for its registers."""
    for row in rows:
        y[:] = -offset[codes[row]]
        _row_times(data, indices, indptr[row], indptr[row + 1], q, y)
        for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
            v = np.float64(data[i])
            j = np.uint32(indices[i])
            for k in range(len(y)):
                part[j, k] += v * y[k]


@numba.njit(cache=True, parallel=True)
def gram_times(data, indices, indptr, codes, q, offset, edges, parts):
    """Transpose of the rows, times what :func:`times` gives; rows of part t go to ``parts[t]``."""
    for t in numba.prange(len(edges) - 1):
        rows = range(edges[t], edges[t + 1])
        y = np.empty(q.shape[1])
        _add_rows(data, indices, indptr, codes, q, offset, rows, parts[t], y)
