"""Compiled loops of :mod:`pertscope.ev._linear_steps`."""

from __future__ import annotations

import numba
import numpy as np

BETA1, BETA2, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
ONE = np.float32(1)


@numba.njit(cache=True, nogil=True)
def adam_step(weights, gradient, first, second, rate, correct1, correct2, keep):
    """Move weights, all arrays float32 of one size and one dimension.

    `first` and `second` are the moments of the gradient so far; `correct1` and `correct2` make up
    for their start at 0; weights decay to the share `keep`.
    """
    for i in range(len(weights)):
        g = gradient[i]
        first[i] = BETA1 * first[i] + (ONE - BETA1) * g
        second[i] = BETA2 * second[i] + (ONE - BETA2) * g * g
        size = np.sqrt(second[i] * correct2) + EPSILON
        weights[i] = weights[i] * keep - rate * correct1 * first[i] / size


@numba.njit(cache=True, nogil=True)
def subtract_products(data, indices, indptr, x, scale, out):
    """Take ``scale * y.T @ x`` from `out`, ``(columns of y, columns of x)``, y being CSC."""
    width = x.shape[1]
    for column in range(len(indptr) - 1):
        into = out[column]
        p, last = indptr[column], indptr[column + 1]
        while p + 4 <= last:  # four rows for each time that `into` is written
            a, b, c, d = data[p], data[p + 1], data[p + 2], data[p + 3]
            e, f, g, h = x[indices[p]], x[indices[p + 1]], x[indices[p + 2]], x[indices[p + 3]]
            for k in range(width):
                into[k] -= scale * (a * e[k] + b * f[k] + c * g[k] + d * h[k])
            p += 4
        while p < last:
            value, row = scale * data[p], x[indices[p]]
            for k in range(width):
                into[k] -= value * row[k]
            p += 1


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})  # lets sums be vectorised
def softmax_errors(scores, classes):
    """Replace scores, ``(rows, classes)``, by ``(softmax - one hot) / rows``."""
    share = ONE / np.float32(len(scores))
    for i in range(len(scores)):
        row = scores[i]
        largest, total = row[0], np.float32(0)
        for j in range(len(row)):
            largest = max(largest, row[j])
        for j in range(len(row)):
            row[j] = _exp(row[j] - largest)
            total += row[j]
        factor = share / total
        for j in range(len(row)):
            row[j] *= factor
        row[classes[i]] -= share


@numba.njit(cache=True, nogil=True)
def _exp(x):
    """Exponential of ``x <= 0``, float32, to 2e-7 of itself; of what is below 1e-37 that.

    2 to the nearest whole power, by its bits, and the Taylor series of the rest. Unlike NumPy's, it
    can be part of a loop.
    """
    power = max(x * np.float32(1.44269504), np.float32(-125))
    whole = np.floor(power + np.float32(0.5))
    rest = (power - whole) * np.float32(0.69314718)
    found = np.float32(1 / 720) * rest + np.float32(1 / 120)
    found = found * rest + np.float32(1 / 24)
    found = found * rest + np.float32(1 / 6)
    found = (found * rest + np.float32(0.5)) * rest + ONE
    found = found * rest + ONE
    return found * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
