"""Compiled loops of :mod:`pertscope._core.neighbors`."""

from __future__ import annotations

import numba
import numpy as np

STRIDE = 32
"""Values that are looked at together: few strides hold a value that is kept."""
SIGN = np.uint32(2**31)


@numba.njit(cache=True, nogil=True)
def _replace_largest(best, which, value, index):
    """Put a pair in the place of the largest of a heap ordered by value, then index."""
    n = len(best)
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        other = child + 1
        if other < n and (
            best[other] > best[child]
            or (best[other] == best[child] and which[other] > which[child])
        ):
            child = other
        if best[child] < value or (best[child] == value and which[child] < index):
            break
        best[i] = best[child]
        which[i] = which[child]
        i = child
    best[i] = value
    which[i] = index


@numba.njit(cache=True, nogil=True)
def _key(value, index):
    """A number in the order of values, float32, and then of indices below 2 ** 32."""
    bits = np.float32(value + np.float32(0)).view(np.uint32)  # -0 is 0
    bits = ~bits if bits & SIGN else bits | SIGN
    return np.uint64(bits) << np.uint64(32) | np.uint64(index)


@numba.njit(cache=True, nogil=True)
def _value(key):
    bits = np.uint32(key >> np.uint64(32))
    bits = bits ^ SIGN if bits & SIGN else ~bits
    return np.uint32(bits).view(np.float32)


@numba.njit(cache=True, nogil=True)
def _compact(keys, n, kept):
    """Move the smallest of the first n keys to the front; the value of the largest of these."""
    found = np.partition(keys[:n], kept - 1)
    keys[:kept] = found[:kept]
    return _value(found[kept - 1])


@numba.njit(cache=True, nogil=True)
def keep_smallest(values, first, own, kept, keys, filled, limits):
    """Keep at least the `kept` smallest values of each row.

    `values` are ``(rows, columns)``, their columns being points ``first, first + 1, ...``; a row
    does not keep point ``own[row]``. ``keys[row, : filled[row]]`` are what is kept, of values below
    ``limits[row]``: a row that is full is cut down to the smallest.
    """
    n_columns, room = values.shape[1], keys.shape[1]
    for row in range(len(own)):
        limit, n = limits[row], filled[row]
        for start in range(0, n_columns, STRIDE):
            stop = min(start + STRIDE, n_columns)
            some = values[row, start:stop]
            below = np.uint8(0)  # no wider, lest vectors hold fewer
            for j in range(len(some)):
                below |= some[j] < limit
            if not below:
                continue
            for j in range(start, stop):
                if values[row, j] < limit and first + j != own[row]:
                    keys[row, n] = _key(values[row, j], first + j)
                    n += 1
                    if n == room:
                        limit = _compact(keys[row], n, kept)
                        n = kept
        limits[row], filled[row] = limit, n


@numba.njit(cache=True, nogil=True)
def smallest(keys, filled, which, largest):
    """Points of the smallest keys of each row, ``(rows, kept)``, and the largest of their values.

    That is -inf for a row that holds fewer.
    """
    kept = which.shape[1]
    for row in range(len(which)):
        if filled[row] < kept:
            which[row] = 0
            largest[row] = -np.inf
            continue
        largest[row] = _compact(keys[row], filled[row], kept)
        for j in range(kept):
            which[row, j] = np.int64(keys[row, j] & np.uint64(0xFFFFFFFF))


@numba.njit(cache=True, nogil=True)
def _squared(a, b, square_a, square_b):
    """Squared distance; 2 where a row is no direction, which a negative square marks.

    Four sums, which the processor adds at the same time.
    """
    if square_a < 0 or square_b < 0:
        return 2.0
    s, t, u, v = 0.0, 0.0, 0.0, 0.0
    n = len(a)
    j = 0
    while j + 4 <= n:
        d, e = a[j] - b[j], a[j + 1] - b[j + 1]
        f, g = a[j + 2] - b[j + 2], a[j + 3] - b[j + 3]
        s += d * d
        t += e * e
        u += f * f
        v += g * g
        j += 4
    while j < n:
        d = a[j] - b[j]
        s += d * d
        j += 1
    return (s + t) + (u + v)


@numba.njit(cache=True, nogil=True)
def refine(queries, query_squares, x, squares, which, indices, distances):
    """Nearest of each row's candidates `which`, by float64 squared distance, then index."""
    k = indices.shape[1]
    for row in range(len(which)):
        candidates = np.sort(which[row])
        found = np.empty(len(candidates))
        for c in range(len(candidates)):
            i = candidates[c]
            found[c] = _squared(queries[row], x[i], query_squares[row], squares[i])
        order = np.argsort(found, kind="mergesort")
        for j in range(k):
            indices[row, j] = candidates[order[j]]
            distances[row, j] = found[order[j]]


@numba.njit(cache=True, nogil=True)
def search_rows(queries, query_squares, own, x, squares, indices, distances):
    """Nearest points of each query among all of `x`, by float64 squared distance, then index."""
    k = indices.shape[1]
    for row in range(len(queries)):
        best = np.full(k, np.inf)
        which = np.full(k, len(x))
        for i in range(len(x)):
            if i != own[row]:
                d = _squared(queries[row], x[i], query_squares[row], squares[i])
                if d < best[0]:
                    _replace_largest(best, which, d, i)
        by_index = np.argsort(which)
        order = by_index[np.argsort(best[by_index], kind="mergesort")]
        for j in range(k):
            indices[row, j] = which[order[j]]
            distances[row, j] = best[order[j]]
