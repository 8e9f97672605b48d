"""How sure a mean over conditions is."""

from __future__ import annotations

import numpy as np

N_RESAMPLES = 2000


def bootstrap_interval(
    values: np.ndarray, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float, float, int]:
    """Mean, lower and upper end of its percentile bootstrap interval, and number of values.

    NaN are left out; the interval of fewer than two values is undefined.
    """
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
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return mean, float(low), float(high), n
