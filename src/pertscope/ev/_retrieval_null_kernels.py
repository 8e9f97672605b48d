"""Compiled loops of :mod:`pertscope.ev._retrieval_null`.

Every draw has a stream of its own, a function of the key and its number, so that results do not
depend on the threads.
"""

from __future__ import annotations

import numba
import numpy as np

from pertscope.ev._permutation_kernels import GOLDEN, _mix

PER_TASK = 256
"""Draws that share a thread's scratch memory."""

INVERT_BELOW = 10.0
"""Expected counts up to which a binomial is drawn by adding up probabilities."""


@numba.njit(cache=True, inline="always")
def _uniform(stream, i):
    """Number i of a stream, in (0, 1)."""
    return (np.float64(_mix(stream + np.uint64(i) * GOLDEN) >> np.uint64(12)) + 0.5) * 2.0**-52


@numba.njit(cache=True)
def _few(n, p, stream, i):
    """Binomial count for a small ``n p``, from one uniform number."""
    odds = p / (1 - p)
    share = np.exp(n * np.log1p(-p))
    left = _uniform(stream, i)
    k = 0
    while left > share and k < n:
        left -= share
        k += 1
        share *= odds * (n - k + 1) / k
    return k, i + 1


@numba.njit(cache=True)
def _many(n, p, stream, i, log_factorial):
    """Binomial count for ``p <= 1/2`` by transformed rejection (BTRS; Hörmann, 1993)."""
    sd = np.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * sd
    a = -0.0873 + 0.0248 * b + 0.01 * p
    quick = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * sd
    mode = np.int64(np.floor((n + 1) * p))
    log_odds = np.log(p / (1 - p))
    at_mode = log_factorial[mode] + log_factorial[n - mode]
    while True:
        u = _uniform(stream, i) - 0.5
        v = _uniform(stream, i + 1)
        i += 2
        edge = 0.5 - abs(u)
        k = np.int64(np.floor((2 * a / edge + b) * u + n * p + 0.5))
        if edge >= 0.07 and v <= quick:
            return k, i
        if 0 <= k <= n:
            height = at_mode - log_factorial[k] - log_factorial[n - k] + (k - mode) * log_odds
            if np.log(v * alpha / (a / (edge * edge) + b)) <= height:
                return k, i


@numba.njit(cache=True)
def binomial(n, p, stream, i, log_factorial):
    """Binomial count, and the number of the stream that comes next."""
    if n == 0 or p <= 0:
        return 0, i
    if p >= 1:
        return n, i
    less = min(p, 1 - p)
    if n * less <= INVERT_BELOW:
        k, i = _few(n, less, stream, i)
    else:
        k, i = _many(n, less, stream, i, log_factorial)
    return (k if p <= 0.5 else n - k), i


@numba.njit(cache=True, parallel=True)
def random_means(pair_of, n_positives, n_negatives, weight, n_pairs, log_factorial, key, n_draws):
    """Weighted sums of random average precisions, float64 ``(n_draws,)``.

    Query q shares its similarities to positives under the numbers ``pair_of[q, :n_positives[q]]``.
    A negative that is not above one positive is above the next with probability
    ``(next - one) / (1 - one)``, where a positive stands for the share of all that is above it.
    """
    out = np.zeros(n_draws)
    for task in numba.prange((n_draws + PER_TASK - 1) // PER_TASK):
        share = np.empty(n_pairs)
        mine = np.empty(n_positives.max())
        for draw in range(task * PER_TASK, min((task + 1) * PER_TASK, n_draws)):
            stream = _mix(key + np.uint64(draw + 1) * GOLDEN)
            for pair in range(n_pairs):
                share[pair] = _uniform(stream, pair + 1)
            i = n_pairs + 1
            for q in range(len(n_positives)):
                m = n_positives[q]
                for k in range(m):  # sorted as they come
                    value = share[pair_of[q, k]]
                    place = k
                    while place > 0 and mine[place - 1] > value:
                        mine[place] = mine[place - 1]
                        place -= 1
                    mine[place] = value
                before = 0.0
                above = 0
                total = 0.0
                for k in range(m):
                    p = (mine[k] - before) / (1 - before)
                    more, i = binomial(n_negatives[q] - above, p, stream, i, log_factorial)
                    above += more
                    total += (k + 1) / (k + 1 + above)
                    before = mine[k]
                out[draw] += weight[q] * total / m
    return out
