"""Compiled loops of :mod:`pertscope.ev._average_precision`.

Positives that tie make one step of the ranking. A negative is above a step, tied with it, or below
all; only their numbers count, so nothing but the few positives is ever sorted.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def precision_of_tied(n_tied_positives, n_tied, n_positives_above, n_above, positives_first):
    """Sum of the precisions of positives that share their similarity with `n_tied` in all.

    The mean over all orders of the tied: place r holds a positive in ``q / t`` of them, after
    ``(r - 1) (q - 1) / (t - 1)`` other positives on average. With `positives_first`, that order.
    """
    q = n_tied_positives
    t = q if positives_first else n_tied
    between = (q - 1) / (t - 1) if t > 1 else 0.0
    total = 0.0
    for r in range(t):
        total += (n_positives_above + 1 + r * between) / (n_above + r + 1)
    return total * q / t


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _positives(x, offset, i, group, different):
    """Similarities of row i to its positives in the group, largest first."""
    found = np.empty(len(group))
    n = 0
    for j in group:
        usable = j != i
        for k in range(different.shape[1]):
            usable &= different[i, k] != different[j, k]
        if usable:
            dot = 0.0
            for c in range(x.shape[1]):
                dot += x[i, c] * x[j, c]
            found[n] = dot - offset[j]
            n += 1
    return np.sort(found[:n])[::-1]


@numba.njit(cache=True)
def _steps(positive, tolerance):
    """Largest and smallest similarity of each step, and its number of positives."""
    top = np.empty(len(positive))
    bottom = np.empty(len(positive))
    size = np.zeros(len(positive), np.int64)
    n = 0
    for s in positive:
        if n == 0 or top[n - 1] - s > tolerance:
            top[n] = s
            n += 1
        bottom[n - 1] = s
        size[n - 1] += 1
    return top[:n], bottom[:n], size[:n]


@numba.njit(cache=True)
def _place_negatives(similarity, is_negative, top, bottom, tolerance):
    """Number of negatives above each step but below the one before, tied with it, and in all."""
    above = np.zeros(len(top), np.int64)
    tied = np.zeros(len(top), np.int64)
    n = 0
    for j in range(len(similarity)):
        if len(is_negative) and not is_negative[j]:
            continue
        n += 1
        s = similarity[j]
        low, high = 0, len(top)  # to the first step that is not above s
        while low < high:
            middle = (low + high) // 2
            if bottom[middle] - tolerance > s:
                low = middle + 1
            else:
                high = middle
        if low < len(top):
            if s > top[low] + tolerance:
                above[low] += 1
            else:
                tied[low] += 1
    return above, tied, n


@numba.njit(cache=True, parallel=True)
def average_precisions(
    x,
    offset,
    rows,
    first,
    last,
    members,
    different,
    similarity,
    is_negative,
    begin,
    tolerance,
    positives_first,
):
    """Average precision of a block of queries, and their numbers of positives and negatives.

    `rows` ``(b,)`` are the queries' rows of `x`; ``members[first:last]`` the rows of the group of
    each. A positive is another member that differs from the query in every column of `different`
    ``(n, k)``. ``similarity[begin[b]:begin[b + 1]]`` is that of candidates for negatives of query
    b, all of them where `is_negative` is empty. ``x[i] . x[j] - offset[j]`` is the similarity of i
    to j.
    """
    out = np.full((3, len(rows)), np.nan)
    for b in numba.prange(len(rows)):
        positive = _positives(x, offset, rows[b], members[first[b] : last[b]], different)
        top, bottom, size = _steps(positive, tolerance)
        own = slice(begin[b], begin[b + 1])
        above, tied, n_negatives = _place_negatives(
            similarity[own], is_negative[own], top, bottom, tolerance
        )
        total = 0.0
        hits = 0  # positives so far
        ranked = 0
        for k in range(len(size)):
            ranked += above[k]
            total += precision_of_tied(size[k], size[k] + tied[k], hits, ranked, positives_first)
            hits += size[k]
            ranked += size[k] + tied[k]
        if hits:
            out[0, b] = total / hits
        out[1, b] = hits
        out[2, b] = n_negatives
    return out
