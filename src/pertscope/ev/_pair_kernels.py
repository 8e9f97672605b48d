"""Compiled loops of :mod:`pertscope.ev._pairs`."""

from __future__ import annotations

import numba
import numpy as np

BLOCK_BYTES = 2**18
"""Size of the block of genes of the right side that is dense: the cache of a core holds it."""
NEAR = 0.05
"""Share of ``|a|^2 + |b|^2`` under which a squared distance has lost digits of float32."""


@numba.njit(cache=True, nogil=True)
def _add_products(data, indices, i, stop, first, block, start, total):
    """Add stored values i to stop of a row, times their genes in `block`, from column `start`.

    Four at a time, so that `total` is read and written once for all of them.
    """
    start, width = np.uint64(start), np.uint64(len(total))  # signed ones would not be vectorised
    while i + 4 <= stop:
        a, b, c, d = data[i], data[i + 1], data[i + 2], data[i + 3]
        e, f = np.uint32(indices[i] - first), np.uint32(indices[i + 1] - first)
        g, h = np.uint32(indices[i + 2] - first), np.uint32(indices[i + 3] - first)
        for j in range(start, width):
            total[j] += a * block[e, j] + b * block[f, j] + c * block[g, j] + d * block[h, j]
        i += 4
    while i < stop:
        a, e = data[i], np.uint32(indices[i] - first)
        for j in range(start, width):
            total[j] += a * block[e, j]
        i += 1


@numba.njit(cache=True, nogil=True)
def squared_distances(
    data, indices, indptr, right_data, right_indices, right_indptr, n_genes, own, out
):
    """Squared distances of the cells of one CSR matrix to those of another; indices are sorted.

    Products of one block of genes are summed as the values are stored, float32 twice as fast as
    float64; blocks are added up in float64. With `own` both are the same cells: one half of the
    distances is the mirror of the other. Returns whether two cells are `NEAR` each other.
    """
    width = len(right_indptr) - 1
    step = max(1, BLOCK_BYTES // (data.itemsize * width))
    block = np.empty((min(step, n_genes), width), data.dtype)
    products = np.empty(width, data.dtype)
    place, right_place = indptr[:-1].copy(), right_indptr[:-1].copy()
    out[:] = 0
    for first in range(0, n_genes, step):
        last = min(first + step, n_genes)
        _fill(block, right_data, right_indices, right_place, right_indptr, first, last)
        for row in range(len(place)):
            stop, end = place[row], indptr[row + 1]
            while stop < end and indices[stop] < last:
                stop += 1
            start = row - row % 8 if own else 0  # as vectors begin
            products[:] = 0
            _add_products(data, indices, place[row], stop, first, block, start, products)
            for j in range(np.uint64(start), np.uint64(width)):
                out[row, j] += products[j]
            place[row] = stop
    squares = _squared_lengths(right_data, right_indptr)
    return _distances(squares if own else _squared_lengths(data, indptr), squares, own, out)


@numba.njit(cache=True, nogil=True)
def _fill(block, data, indices, place, indptr, first, last):
    """Genes `first` to before `last` of a CSR matrix as rows of `block`; `place` advances."""
    block[:] = 0
    for cell in range(len(place)):
        i, end = np.uint64(place[cell]), np.uint64(indptr[cell + 1])
        while i < end and indices[i] < last:
            block[np.uint32(indices[i] - first), cell] = data[i]
            i += np.uint64(1)
        place[cell] = i


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def _squared_lengths(data, indptr):
    squares = np.empty(len(indptr) - 1)
    for row in range(len(squares)):
        square = 0.0
        for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
            square += np.float64(data[i]) ** 2
        squares[row] = square
    return squares


@numba.njit(cache=True, nogil=True)
def _distances(left_squares, squares, own, out):
    """From inner products to squared distances, in place; is one of them small?"""
    n_near = 0
    for row in range(len(out)):
        square = left_squares[row]
        for j in range(np.uint64(row + 1 if own else 0), np.uint64(len(squares))):
            out[row, j] = max(square + squares[j] - 2 * out[row, j], 0.0)
            n_near += out[row, j] < NEAR * (square + squares[j])
        if own:
            out[row, row] = 0.0
            for j in range(row):
                out[row, j] = out[j, row]
    return n_near > 0
