"""Compiled loops of :mod:`pertscope._core.rank_sum`.

A tile holds the non-zero values of some genes: gene after gene, in each gene group after group. One
sort of a gene then serves the tests of all groups: a sweep over the sorted values knows how many
cells of every group lie below. Zeros are neither moved nor sorted; they are one block of ties
between the negative and the positive values.
"""

from __future__ import annotations

import numba
import numpy as np

DIGIT_BITS = 13  # at most, in a pass of the sort: its counters, 32 KiB, stay in a cache
GENES_PER_PASS = 512  # of a task are written at a time: the fastest cache holds all their ends


@numba.njit(cache=True, inline="always")
def _stored_in(indices, indptr, row, first, last):
    """Where the genes from `first` to before `last` of a row begin and end; indices are sorted."""
    start, stop = indptr[row], indptr[row + 1]
    if start < stop and indices[start] < first:
        start += np.searchsorted(indices[start:stop], first)
    if start < stop and indices[stop - 1] >= last:
        stop = start + np.searchsorted(indices[start:stop], last)
    return np.uint64(start), np.uint64(stop)


@numba.njit(cache=True, inline="never")
def _count_rows(data, indices, indptr, rows, first, counts):
    """Count values of some rows; a function of its own, lest the loop run out of registers."""
    last = first + len(counts)
    for row in rows:
        start, stop = _stored_in(indices, indptr, row, first, last)
        for i in range(start, stop):
            counts[np.uint32(indices[i] - first)] += np.int64(data[i] != 0)


@numba.njit(cache=True, parallel=True)
def count_csr(data, indices, indptr, rows, edges, first, counts):
    """Count values of task t, ``rows[edges[t]:edges[t + 1]]``, in ``counts[t, gene - first]``."""
    for t in numba.prange(len(edges) - 1):
        _count_rows(data, indices, indptr, rows[edges[t] : edges[t + 1]], first, counts[t])


@numba.njit(cache=True, inline="never")
def _move_row(data, indices, i, stop, first, last, place, values):
    """Move values of a row, from value i on, up to gene `last`; return which comes next."""
    while i < stop and indices[i] < last:
        if data[i] != 0:
            j = np.uint32(indices[i] - first)
            values[np.uint64(place[j])] = data[i]
            place[j] += 1
        i += np.uint64(1)
    return i


@numba.njit(cache=True)
def _move_rows(data, indices, indptr, rows, first, place, values):
    last = first + len(place)
    places = np.empty((len(rows), 2), np.uint64)
    for k, row in enumerate(rows):
        places[k] = _stored_in(indices, indptr, row, first, last)
    for start in range(first, last, GENES_PER_PASS):
        until = min(start + GENES_PER_PASS, last)
        for at in places:
            at[0] = _move_row(data, indices, at[0], at[1], first, until, place, values)


@numba.njit(cache=True, parallel=True)
def move_csr(data, indices, indptr, rows, edges, first, places, values):
    """Move values of task t to ``places[t, gene - first]``, which advance."""
    for t in numba.prange(len(edges) - 1):
        _move_rows(data, indices, indptr, rows[edges[t] : edges[t + 1]], first, places[t], values)


@numba.njit(cache=True, parallel=True)
def count_dense(x, rows, edges, first, counts):
    """As :func:`count_csr`."""
    for t in numba.prange(len(edges) - 1):
        for row in rows[edges[t] : edges[t + 1]]:
            for j in range(counts.shape[1]):
                counts[t, j] += np.int64(x[row, first + j] != 0)


@numba.njit(cache=True, parallel=True)
def move_dense(x, rows, edges, first, places, values):
    """As :func:`move_csr`."""
    for t in numba.prange(len(edges) - 1):
        for row in rows[edges[t] : edges[t + 1]]:
            for j in range(places.shape[1]):
                if x[row, first + j] != 0:
                    values[places[t, j]] = x[row, first + j]
                    places[t, j] += 1


@numba.njit(cache=True, parallel=True)
def count_csc(data, indices, indptr, codes, first, counts):
    """Count values of each group in ``counts[group, gene - first]``."""
    for j in numba.prange(counts.shape[1]):
        for i in range(indptr[first + j], indptr[first + j + 1]):
            g = codes[indices[i]]
            if g >= 0 and data[i] != 0:
                counts[g, j] += 1


@numba.njit(cache=True, parallel=True)
def move_csc(data, indices, indptr, codes, first, places, values):
    """Move values of each group to ``places[group, gene - first]``, which advance."""
    for j in numba.prange(places.shape[1]):
        for i in range(indptr[first + j], indptr[first + j + 1]):
            g = codes[indices[i]]
            if g >= 0 and data[i] != 0:
                values[places[g, j]] = data[i]
                places[g, j] += 1


@numba.njit(cache=True, inline="never")
def _sort(keys, groups, lowest, highest):
    """Sort keys, with their groups, by their least significant digits first.

    Digits are those of ``key - lowest``, hence few; one that all keys share is skipped.
    """
    n_bits, n_digit_bits = 0, 8
    while n_bits < 64 and (highest - lowest) >> np.uint64(n_bits):
        n_bits += 1
    while n_digit_bits < DIGIT_BITS and len(keys) >> n_digit_bits:
        n_digit_bits += 1
    n_passes = -(-n_bits // n_digit_bits)
    if n_passes == 0:
        return keys, groups
    width = -(-n_bits // n_passes)
    digit = np.uint64((1 << width) - 1)
    counts = np.zeros((n_passes, 1 << width), np.uint32)
    for i in range(len(keys)):
        k = np.uint64(keys[i]) - lowest
        for p in range(n_passes):
            counts[p, (k >> np.uint64(p * width)) & digit] += 1
    other_keys, other_groups = np.empty_like(keys), np.empty_like(groups)
    for p in range(n_passes):
        shift = np.uint64(p * width)
        place, total = counts[p], 0
        if place[((np.uint64(keys[0]) - lowest) >> shift) & digit] == len(keys):
            continue
        for d in range(len(place)):
            place[d], total = total, total + place[d]
        for i in range(len(keys)):
            d = ((np.uint64(keys[i]) - lowest) >> shift) & digit
            at = np.uint64(place[d])
            other_keys[at] = keys[i]
            other_groups[at] = groups[i]
            place[d] += 1
        keys, other_keys = other_keys, keys
        groups, other_groups = other_groups, groups
    return keys, groups


@numba.njit(cache=True)
def _sorted_gene(bits, stored, labels, sign):
    """Keys of one gene in the order of its floats, and the groups they belong to.

    A key is the bits of a float, the sign bit flipped, and where that was set all others too.
    """
    keys = np.empty_like(bits)
    groups = np.empty(len(bits), labels.dtype)
    all_ones, top = ~np.uint64(0), np.uint64(sign)
    lowest, highest = all_ones, np.uint64(0)
    stop = 0
    for g in range(len(stored)):
        start, stop = stop, stop + stored[g]
        groups[start:stop] = labels[g]
    for i in range(len(bits)):
        keys[i] = np.uint64(bits[i]) ^ (all_ones if bits[i] >= sign else top)
        lowest, highest = min(lowest, np.uint64(keys[i])), max(highest, np.uint64(keys[i]))
    return _sort(keys, groups, lowest, highest)


@numba.njit(cache=True, inline="always")
def _cube(t):
    """``t**3 - t``, the weight of t tied cells."""
    t = np.float64(t)
    return t * t * t - t


@numba.njit(cache=True, inline="never")
def _sweep(keys, groups, reference, below, here, starts, doubled_u, ties, own_ties):
    """Add sorted non-zero values to `doubled_u`, blocks of ties to `ties` and `own_ties`.

    Groups ascend within a block of ties. `below` counts the cells of each group that were passed;
    `here`, zero between calls, those in the present block, and `starts` is where its groups begin,
    and the block ends. `ties` holds what a group adds to its reference's own.
    """
    i, n, one = np.uint64(0), np.uint64(len(keys)), np.uint64(1)
    while i < n:
        k, g = keys[i], groups[i]
        i += one
        if i == n or keys[i] != k:
            doubled_u[g] += 2 * below[np.uint64(reference[g])]
            below[g] += 1
            continue
        starts[0], n_found = i - one, one
        while i < n and keys[i] == k:
            starts[n_found] = i  # overwritten unless a group begins here: no branch to mispredict
            n_found += np.uint64(groups[i] != groups[i - one])
            i += one
        starts[n_found] = i
        for f in range(n_found):
            here[groups[starts[f]]] = starts[f + one] - starts[f]
        for f in range(n_found):
            g = groups[starts[f]]
            r = np.uint64(reference[g])
            doubled_u[g] += here[g] * (2 * below[r] + here[r])
            ties[g] += _cube(here[g] + here[r]) - _cube(here[r])
            own_ties[g] += _cube(here[g])
        for f in range(n_found):
            g = groups[starts[f]]
            below[g] += here[g]
            here[g] = 0


@numba.njit(cache=True, parallel=True)
def compare(bits, edges, stored, n, reference, labels, landmarks, doubled_u, ties, has_nan):
    """Twice U and the sum of ``t**3 - t`` over blocks of t ties, for genes of a tile.

    Gene j holds ``bits[edges[j]:edges[j + 1]]``, those of floats as unsigned integers, of which
    ``stored[g, j]`` belong to group g. `landmarks` are the keys of minus infinity, zero and
    infinity. Results are ``(genes, groups)``.
    """
    n_groups = len(n)
    for j in numba.prange(len(edges) - 1):
        below, here = np.zeros(n_groups, np.int64), np.zeros(n_groups, np.int64)
        starts = np.empty(n_groups + 1, np.uint64)
        own_ties = np.zeros(n_groups)
        gene = bits[edges[j] : edges[j + 1]]
        keys, groups = _sorted_gene(gene, stored[:, j], labels, landmarks[1])
        if len(keys):
            has_nan[j] = keys[0] < landmarks[0] or keys[-1] > landmarks[2]
        m = np.searchsorted(keys, landmarks[1])
        state = reference, below, here, starts, doubled_u[j], ties[j], own_ties
        _sweep(keys[:m], groups[:m], *state)
        zeros = n - stored[:, j]
        for g in range(n_groups):
            r = reference[g]
            doubled_u[j, g] += zeros[g] * (2 * below[r] + zeros[r])
            ties[j, g] += _cube(zeros[g] + zeros[r])
        for g in range(n_groups):
            below[g] += zeros[g]
        _sweep(keys[m:], groups[m:], *state)
        for g in range(n_groups):
            ties[j, g] += own_ties[reference[g]]
