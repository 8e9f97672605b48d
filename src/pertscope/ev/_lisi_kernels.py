"""Compiled loops of :mod:`pertscope.ev._lisi`."""

from __future__ import annotations

import numba
import numpy as np

MAX_STEPS, TOLERANCE = 50, 1e-5


@numba.njit(cache=True)
def _weigh(distances, beta, out):
    """Softmax of ``-beta * distances`` into `out`; its entropy.

    Distances are taken from the nearest on, which changes no weight and lets none overflow.
    """
    total, mean = 0.0, 0.0
    for j in range(len(out)):
        d = distances[j] - distances[0]
        out[j] = np.exp(-beta * d)
        total += out[j]
        mean += out[j] * d
    for j in range(len(out)):
        out[j] /= total
    return np.log(total) + beta * mean / total


@numba.njit(cache=True, parallel=True)
def weights(distances, perplexity, out):
    """Weights whose entropy is ``log(perplexity)``, row by row; nearest neighbours come first."""
    wanted = np.log(perplexity)
    for i in numba.prange(len(out)):
        beta, low, high = 1.0, -np.inf, np.inf
        excess = _weigh(distances[i], beta, out[i]) - wanted
        step = 0
        while abs(excess) >= TOLERANCE and step < MAX_STEPS:
            if excess > 0:
                low = beta
                beta = beta * 2 if high == np.inf else (beta + high) / 2
            else:
                high = beta
                beta = beta / 2 if low == -np.inf else (beta + low) / 2
            excess = _weigh(distances[i], beta, out[i]) - wanted
            step += 1


@numba.njit(cache=True, parallel=True)
def inverse_simpson(weights, indices, codes, out):
    """``1 / sum over labels of (weight of the label's neighbours) ** 2``, row by row."""
    n, k = weights.shape
    for i in numba.prange(n):
        share = np.zeros(k)  # of the label that neighbour j is the first to have
        for j in range(k):
            first = 0
            while codes[indices[i, first]] != codes[indices[i, j]]:
                first += 1
            share[first] += weights[i, j]
        total = 0.0
        for j in range(k):
            total += share[j] * share[j]
        out[i] = 1 / total
