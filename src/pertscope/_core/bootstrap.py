"""How sure a mean over conditions is."""

from __future__ import annotations

import numpy as np

N_RESAMPLES = 2000


def expanded_width(n: int, confidence: float) -> float:
    """Standard deviations of resampled means that an interval of n values reaches to each side.

    ``sqrt(n / (n - 1)) t``, t the quantile of Student's distribution with n - 1 degrees of freedom:
    it is wider than the normal distribution, and the resampled means vary too little. So far from
    the mean of n values is their Student's interval.
    """
    from scipy.special import stdtrit

    return float(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + confidence) / 2))


def bootstrap_interval(
    values: np.ndarray, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float, float, int]:
    """Mean, lower and upper end of its bootstrap interval, and number of values.

    Percentiles of the resampled means, expanded as :func:`expanded_width` says: with tails of
    ``Phi(-width)`` in place of ``(1 - confidence) / 2``. Plain percentiles cover too seldom where
    values are few (Hesterberg, The American Statistician 69, 2015).

    NaN are left out; the interval of fewer than two values is undefined.
    """
    from scipy.special import ndtr

    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        return np.nan, np.nan, np.nan, 0
    mean = float(values.mean())
    if n == 1:
        return mean, np.nan, np.nan, 1
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[rng.integers(0, n, (rows, n))].mean(axis=1)
            for rows in np.diff(np.linspace(0, N_RESAMPLES, 1 + -(-n // 1000)).astype(int))
        ]
    )
    tail = 100 * ndtr(-expanded_width(n, confidence))
    low, high = np.percentile(means, [tail, 100 - tail])
    return mean, float(low), float(high), n
