"""Compiled loops of :mod:`pertscope.ev._permutation_test`.

Every permutation draws from a stream of its own, a function of the key and its number, so results
do not depend on the threads. Cells are counted through: reference first, then the group.
"""

from __future__ import annotations

import numba
import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
PER_TASK = 16
"""Permutations that share a thread's scratch memory."""


@numba.njit(cache=True, inline="always")
def _mix(z):
    """Finalizer of splitmix64 (Steele, Lea and Flood, 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True)
def _choose(key, order, swaps, chosen):
    """Fill `chosen` with distinct random entries of `order`, which is left as it was.

    The steps of a Fisher-Yates shuffle. Scaling 32 bits to a range of n favours some entries by
    n / 2**32 at most.
    """
    n = len(order)
    for i in range(len(chosen)):
        bits = _mix(key + np.uint64(i + 1) * GOLDEN) >> np.uint64(32)
        j = i + np.int64((bits * np.uint64(n - i)) >> np.uint64(32))
        swaps[i] = j
        order[i], order[j] = order[j], order[i]
        chosen[i] = order[i]
    for i in range(len(chosen) - 1, -1, -1):
        j = swaps[i]
        order[i], order[j] = order[j], order[i]


@numba.njit(cache=True)
def _next_subset(permutation, key, first, order, swaps, chosen):
    """Permutation 0 is what was observed: the cells from `first` on."""
    if permutation == 0:
        for i in range(len(chosen)):
            chosen[i] = first + i
    else:
        _choose(_mix(key + np.uint64(permutation) * GOLDEN), order, swaps, chosen)


@numba.njit(cache=True, parallel=True)
def squared_sums(reference, group, square, total, size, first, key, n_permutations):
    """For subsets of `size` cells: sums of squared distances within, and from them to all.

    `square` holds the cells' squared lengths, `total` the sum of all cells. With s the sum and q
    the sum of squares of a subset of size k out of N: ``2 k q - 2 |s|^2`` within, and
    ``N q + k Q - 2 s . S`` to all. Returns float64 ``(2, n_permutations + 1)``.
    """
    m, d = reference.shape
    n = m + len(group)
    all_square = square.sum()
    out = np.empty((2, n_permutations + 1))
    for task in numba.prange(n_permutations // PER_TASK + 1):
        order = np.arange(n)
        swaps = np.empty(size, np.int64)
        chosen = np.empty(size, np.int64)
        s = np.empty(d)
        for p in range(task * PER_TASK, min((task + 1) * PER_TASK, n_permutations + 1)):
            _next_subset(p, key, first, order, swaps, chosen)
            s[:] = 0.0
            q = 0.0
            for c in chosen:
                q += square[c]
                if c < m:
                    for j in range(d):
                        s[j] += reference[c, j]
                else:
                    for j in range(d):
                        s[j] += group[c - m, j]
            ss = 0.0
            st = 0.0
            for j in range(d):
                ss += s[j] * s[j]
                st += s[j] * total[j]
            out[0, p] = 2 * (size * q - ss)
            out[1, p] = n * q + size * all_square - 2 * st
    return out


@numba.njit(cache=True, parallel=True)
def distance_sums(own, across, row_sums, size, first, key, n_permutations):
    """For subsets of `size` cells: sums of distances within, and from them to all.

    `own` holds distances within the reference ``(m, m)``, `across` from the group to all cells
    ``(n_g, m + n_g)``, `row_sums` the sums from each cell to all. Returns float64
    ``(2, n_permutations + 1)``.
    """
    m = len(own)
    n = m + len(across)
    out = np.empty((2, n_permutations + 1))
    for task in numba.prange(n_permutations // PER_TASK + 1):
        order = np.arange(n)
        swaps = np.empty(size, np.int64)
        chosen = np.empty(size, np.int64)
        for p in range(task * PER_TASK, min((task + 1) * PER_TASK, n_permutations + 1)):
            _next_subset(p, key, first, order, swaps, chosen)
            # cells of the reference to the front: their pairs, nearly all, need no case
            n_reference = 0
            for i in range(size):
                if chosen[i] < m:
                    chosen[i], chosen[n_reference] = chosen[n_reference], chosen[i]
                    n_reference += 1
            within = 0.0
            rows = 0.0
            for i in range(size):
                a = chosen[i]
                rows += row_sums[a]
                if i < n_reference:
                    for j in range(i):
                        within += own[a, chosen[j]]
                else:
                    for j in range(i):
                        within += across[a - m, chosen[j]]
            out[0, p] = 2 * within
            out[1, p] = rows
    return out


@numba.njit(cache=True, parallel=True, fastmath={"reassoc", "contract"})
def distances(x, y):
    """Euclidean distances of all pairs, float32; symmetric, and 0 for equal cells, to the bit."""
    out = np.empty((len(x), len(y)), np.float32)
    for i in numba.prange(len(x)):
        for j in range(len(y)):
            s = 0.0
            for k in range(x.shape[1]):
                d = x[i, k] - y[j, k]
                s += d * d
            out[i, j] = np.sqrt(s)
    return out
