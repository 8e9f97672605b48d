"""Compiled loops of the regressors. One thread each: contexts and folds run side by side."""

from __future__ import annotations

import numba
import numpy as np

L2, COSINE = 0, 1  # places in `_neighbor_regression.METRICS`; the third is Tanimoto
GENES = 512
"""Genes that are summed at a time."""


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _squared_distance(x, y):
    total = 0.0
    for c in range(len(x)):
        total += (x[c] - y[c]) ** 2
    return total


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dot(x, y):
    total = 0.0
    for c in range(len(x)):
        total += x[c] * y[c]
    return total


@numba.njit(cache=True, nogil=True)
def distances(a, b, metric):
    """Distance of each row of `a` from each row of `b`, float64 ``(a, b)``.

    The same two vectors have the same distance wherever they stand, so that ties are ties. Rows
    are float64 and C-ordered. A vector of zeros has cosine distance 1 from all, and Tanimoto
    distance 0 from another of zeros.
    """
    found = np.empty((len(a), len(b)))
    size_a = np.array([_dot(x, x) for x in a])
    size_b = np.array([_dot(x, x) for x in b])
    for i in range(len(a)):
        for j in range(len(b)):
            if metric == L2:
                found[i, j] = np.sqrt(_squared_distance(a[i], b[j]))
                continue
            dot = _dot(a[i], b[j])
            if metric == COSINE:
                norm = np.sqrt(size_a[i] * size_b[j])
                found[i, j] = 1.0 - dot / norm if norm > 0 else 1.0
            else:
                union = size_a[i] + size_b[j] - dot
                found[i, j] = 1.0 - dot / union if union > 0 else 0.0
            found[i, j] = max(found[i, j], 0.0)
    return found


@numba.njit(cache=True, nogil=True)
def nearest(distance, of_row, of_column, k):
    """The k columns that are nearest to each row and of another fold than it, nearest first.

    Of equally near columns the first comes first. int64 ``(rows, k)``; there must be so many.
    """
    found = np.empty((len(distance), k), np.int64)
    near = np.empty(k)
    for i in range(len(distance)):
        n = 0
        for j in range(distance.shape[1]):
            d = distance[i, j]
            if of_column[j] == of_row[i] or (n == k and d >= near[k - 1]):
                continue
            place = min(n, k - 1)
            while place > 0 and near[place - 1] > d:
                near[place] = near[place - 1]
                found[i, place] = found[i, place - 1]
                place -= 1
            near[place] = d
            found[i, place] = j
            n = min(n + 1, k)
    return found


@numba.njit(cache=True, nogil=True)
def weighted_sums(weight, neighbors, effects):
    """Sum of the effects of each row's neighbours times their weights, float64 ``(rows, genes)``.

    Some genes at a time, so that what is looked at again is still near the processor.
    """
    found = np.zeros((len(neighbors), effects.shape[1]))
    for first in range(0, effects.shape[1], GENES):
        for i in range(len(neighbors)):
            out = found[i, first : first + GENES]
            for a in range(neighbors.shape[1]):
                w = weight[i, a]
                effect = effects[neighbors[i, a], first : first + GENES]
                for g in range(len(out)):
                    out[g] += w * effect[g]
    return found


@numba.njit(cache=True, nogil=True)
def squared_errors(gram, neighbors, weight):
    """Squared error of the weighted mean of the first 1, 2, ... neighbours of each row.

    ``|y_i - sum_a w_a y_a / sum_a w_a|^2 = K_ii - 2 sum_a w_a K_ia / s + sum_ab w_a w_b K_ab /
    s^2`` with ``K = Y Y'`` and ``s = sum_a w_a``: the rows of Y are never looked at. float64
    ``(rows, k)``.
    """
    errors = np.empty(neighbors.shape)
    for i in range(len(neighbors)):
        total, linear, square = 0.0, 0.0, 0.0
        for a in range(neighbors.shape[1]):
            j, w = neighbors[i, a], weight[i, a]
            before = 0.0
            for b in range(a):
                before += weight[i, b] * gram[j, neighbors[i, b]]
            square += w * (2 * before + w * gram[j, j])
            linear += w * gram[i, j]
            total += w
            error = gram[i, i] - 2 * linear / total + square / (total * total)
            errors[i, a] = max(error, 0.0)
    return errors


@numba.njit(cache=True, nogil=True)
def descend(gram, target, coefficients, l1, l2, tolerance, max_sweeps):
    """Coordinate descent for ``w' K w / 2 - c' w + l1 |w|_1 + l2 |w|^2 / 2``, for each gene.

    `gram` is K ``(C, C)``, `target` holds c in its rows ``(G, C)``; `coefficients` ``(G, C)`` is
    where it starts, and what it finds. A gene has settled when no coefficient moves by more than
    `tolerance` times the largest. Returns how many did not.
    """
    unsettled = 0
    for g in range(len(target)):
        residual = target[g] - gram @ coefficients[g]
        settled = False
        for _ in range(max_sweeps):
            moved, largest = _sweep(gram, residual, coefficients[g], l1, l2)
            if moved <= tolerance * largest:
                settled = True
                break
        unsettled += not settled
    return unsettled


@numba.njit(cache=True, nogil=True)
def _sweep(gram, residual, w, l1, l2):
    """One step along each coordinate; how far the longest was, and the largest coefficient."""
    moved, largest = 0.0, 0.0
    for j in range(len(w)):
        scale = gram[j, j]
        if scale <= 0:
            continue
        pull = residual[j] + scale * w[j]
        new = max(abs(pull) - l1, 0.0) / (scale + l2)
        if pull < 0:
            new = -new
        step = new - w[j]
        if step != 0:
            for i in range(len(w)):
                residual[i] -= gram[j, i] * step  # symmetric, and rows lie together
            w[j] = new
        moved = max(moved, abs(step) * np.sqrt(scale))
        largest = max(largest, abs(new) * np.sqrt(scale))
    return moved, largest
