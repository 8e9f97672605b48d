"""Compiled loops of :mod:`pertscope._core.moments`.

CSR is bound by memory, so its loops keep two plain sums per gene, v and v**2, side by side, and
read rows in their order where the sums of all groups fit the cache. A sum is of at most some
thousand rows, which bounds the rounding error of that of squares by `ROUNDING`; a smaller variance
is that of a constant. CSC and dense loops sum v - k and (v - k)**2, k being the first value met,
which stays accurate where the mean is large against the spread, as in image profiles.
Partial results are merged by Chan's formula, in an order that does not depend on the threads.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

ROUNDING = 1e-12


@intrinsic
def _add_pair(_typing, sums, j, first, second):  # noqa: ARG001 - numba reads their types
    """Add two numbers to ``sums[j]`` of ``(n, 2)`` at once; numba would add one after the other."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pair, i32 = ir.VectorType(ir.DoubleType(), 2), ir.IntType(32)
        at = builder.gep(
            builder.bitcast(array.data, pair.as_pointer()),
            [builder.zext(arguments[1], ir.IntType(64))],
        )
        added = ir.Constant(pair, ir.Undefined)
        for lane in (0, 1):
            added = builder.insert_element(added, arguments[2 + lane], ir.Constant(i32, lane))
        builder.store(builder.fadd(builder.load(at, align=8), added), at, align=8)
        return context.get_dummy_value()

    return types.void(sums, types.uint32, types.float64, types.float64), generate


@numba.njit(cache=True, inline="always")
def _close(n, stored, shift, s1, s2):
    """Mean and sum of squared deviations of n values, `stored` of which are in s1 and s2."""
    if stored == 0:
        return 0.0, 0.0
    zeros = n - stored
    s1 -= zeros * shift
    s2 += zeros * shift * shift
    d = s1 / n
    return shift + d, max(s2 - s1 * d, 0.0)


@numba.njit(cache=True, inline="always")
def _merge(n_a, mean_a, m2_a, n_b, mean_b, m2_b):
    """Chan, Golub and LeVeque's pairwise update."""
    if n_a == 0:
        return mean_b, m2_b
    d = mean_b - mean_a
    n = n_a + n_b
    return mean_a + d * (n_b / n), m2_a + m2_b + d * d * (n_a * n_b / n)


@numba.njit(cache=True, inline="never")
def _sum_rows(data, indices, indptr, rows, sums):
    """Sums of values and squares; a function of its own, lest the loop run out of registers."""
    for row in rows:
        for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
            v = np.float64(data[i])
            _add_pair(sums, np.uint32(indices[i]), v, v * v)


@numba.njit(cache=True, inline="never")
def _sum_in_order(data, indices, indptr, codes, start, stop, sums, first):
    """Sums of values and squares by group, and the first row of each group."""
    for row in range(start, stop):
        g = codes[row]
        if g < 0:
            continue
        if first[g] < 0:
            first[g] = row
        into = sums[g]
        for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
            v = np.float64(data[i])
            _add_pair(into, np.uint32(indices[i]), v, v * v)


@numba.njit(cache=True)
def _close_rows(data, indices, indptr, first, n, sums):
    """From the sums of n rows to their mean and sum of squared deviations, in place."""
    for j in range(len(sums)):
        s = sums[j, 0]
        sums[j, 0] = s / n
        b = sums[j, 1] - s * sums[j, 0]
        sums[j, 1] = 0.0 if b < ROUNDING * sums[j, 1] else b
    for i in range(np.uint64(indptr[first]), np.uint64(indptr[first + 1])):
        j = np.uint32(indices[i])
        v = np.float64(data[i])
        if sums[j, 1] == 0 and abs(sums[j, 0] - v) <= ROUNDING * abs(v):
            sums[j, 0] = v  # exactly, so that parts of a constant merge without variance


@numba.njit(cache=True, parallel=True)
def add_csr_in_order(data, indices, indptr, codes, edges, n_part, most_rows, n, mean, m2):
    """Add the rows of a CSR block, part by part, each read in its order.

    Part p holds the rows ``edges[p], ..., edges[p + 1] - 1``, ``n_part[p]`` of each group. Sums of
    parts are added as long as they are of at most `most_rows` rows: a sum loses fewer digits than
    Chan's formula, and genes of the same values stay tied.
    """
    n_groups, n_genes = mean.shape
    sums = np.zeros((len(n_part), n_groups, n_genes, 2))
    first = np.full(n_part.shape, -1)
    for p in numba.prange(len(n_part)):
        _sum_in_order(data, indices, indptr, codes, edges[p], edges[p + 1], sums[p], first[p])
    for g in numba.prange(n_groups):
        seen, p = n[g], 0
        while p < len(n_part):
            found, row, n_rows = sums[p, g], first[p, g], n_part[p, g]
            p += 1
            while p < len(n_part) and n_rows + n_part[p, g] <= most_rows:
                found += sums[p, g]
                row = first[p, g] if row < 0 else row
                n_rows += n_part[p, g]
                p += 1
            if n_rows == 0:
                continue
            _close_rows(data, indices, indptr, row, n_rows, found)
            for j in range(n_genes):
                mean[g, j], m2[g, j] = _merge(
                    seen, mean[g, j], m2[g, j], n_rows, found[j, 0], found[j, 1]
                )
            seen += n_rows


@numba.njit(cache=True, parallel=True)
def add_csr(data, indices, indptr, rows, edges, group, slot, n, mean, m2, part_mean, part_m2):
    """Add the rows of a CSR block, task by task.

    Task t holds ``rows[edges[t]:edges[t + 1]]``, all of ``group[t]``. Where a group is one task
    (``slot[t] < 0``) it goes straight into `mean` and `m2`, otherwise into its own slot.
    """
    n_genes = mean.shape[1]
    for t in numba.prange(len(group)):
        sums = np.zeros((n_genes, 2))
        _sum_rows(data, indices, indptr, rows[edges[t] : edges[t + 1]], sums)
        n_t = edges[t + 1] - edges[t]
        _close_rows(data, indices, indptr, rows[edges[t]], n_t, sums)
        g = group[t]
        for j in range(n_genes):
            a, b = sums[j, 0], sums[j, 1]
            if slot[t] < 0:
                mean[g, j], m2[g, j] = _merge(n[g], mean[g, j], m2[g, j], n_t, a, b)
            else:
                part_mean[slot[t], j] = a
                part_m2[slot[t], j] = b


@numba.njit(cache=True, parallel=True)
def add_dense(x, rows, edges, group, slot, n, mean, m2, part_mean, part_m2):
    """Add the rows of a dense block; tasks as in :func:`add_csr`."""
    n_genes = mean.shape[1]
    for t in numba.prange(len(group)):
        s1 = np.zeros(n_genes)
        s2 = np.zeros(n_genes)
        first = rows[edges[t]]
        n_t = edges[t + 1] - edges[t]
        for r in range(edges[t], edges[t + 1]):
            row = rows[r]
            for j in range(n_genes):
                d = np.float64(x[row, j]) - np.float64(x[first, j])
                s1[j] += d
                s2[j] += d * d
        g = group[t]
        for j in range(n_genes):
            a, b = _close(n_t, n_t, np.float64(x[first, j]), s1[j], s2[j])
            if slot[t] < 0:
                mean[g, j], m2[g, j] = _merge(n[g], mean[g, j], m2[g, j], n_t, a, b)
            else:
                part_mean[slot[t], j] = a
                part_m2[slot[t], j] = b


@numba.njit(cache=True, parallel=True)
def merge_parts(n_t, group, slot, n, mean, m2, part_mean, part_m2):
    """Add the tasks that have a slot to their groups, in the order of the tasks."""
    n_genes = mean.shape[1]
    for j in numba.prange(n_genes):
        seen = n.copy()
        for t in range(len(group)):
            if slot[t] >= 0:
                g = group[t]
                mean[g, j], m2[g, j] = _merge(
                    seen[g],
                    mean[g, j],
                    m2[g, j],
                    n_t[t],
                    part_mean[slot[t], j],
                    part_m2[slot[t], j],
                )
                seen[g] += n_t[t]


@numba.njit(cache=True, parallel=True)
def add_csc(data, indices, indptr, codes, n_block, first_gene, n, mean, m2):
    """Add a CSC block of genes ``first_gene, first_gene + 1, ...`` of all cells."""
    n_groups = len(n_block)
    for c in numba.prange(len(indptr) - 1):
        stored = np.zeros(n_groups, np.int64)
        shift = np.zeros(n_groups)
        s1 = np.zeros(n_groups)
        s2 = np.zeros(n_groups)
        for i in range(indptr[c], indptr[c + 1]):
            g = codes[indices[i]]
            if g < 0:
                continue
            v = np.float64(data[i])
            if stored[g] == 0:
                shift[g] = v
            stored[g] += 1
            d = v - shift[g]
            s1[g] += d
            s2[g] += d * d
        j = first_gene + c
        for g in range(n_groups):
            if n_block[g] > 0:
                a, b = _close(n_block[g], stored[g], shift[g], s1[g], s2[g])
                mean[g, j], m2[g, j] = _merge(n[g], mean[g, j], m2[g, j], n_block[g], a, b)
