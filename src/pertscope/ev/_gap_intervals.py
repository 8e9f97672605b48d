"""How sure a gain over the floor is, and the share of the gap that is closed.

Perturbations are resampled, with all their conditions: a perturbation in two combinations of
covariates is no two independent ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pertscope._core.bootstrap import expanded_width

MEAN, MEDIAN = "mean", "median"
SUMMARIES = (MEAN, MEDIAN)
N_RESAMPLES = 4000
PER_BLOCK = 200
"""Samples that are held at once."""
LEAST_BEYOND = 10
"""Samples in a tail that it takes to say where it begins."""


@dataclass(frozen=True)
class Interval:
    """Observed values and the ends of their intervals, float64 ``(predictions,)`` each."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def resampled(
    values: np.ndarray, units: np.ndarray, *, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Mean and median of columns: observed, and of bootstrap samples.

    Parameters
    ----------
    values
        float64 ``(conditions, columns)``, none NaN.
    units
        What each condition is drawn with, int64 ``(conditions,)``, from 0 without gaps.
    seed
        Seed of the draws.

    Returns
    -------
    Under ``"mean"`` and ``"median"``: float64 ``(columns,)``, and float64 ``(samples, columns)``.
    """
    from pertscope.ev._median_kernels import weighted_medians

    rng = np.random.default_rng(seed)
    n = int(units.max()) + 1
    columns = np.ascontiguousarray(values.T)
    order = np.argsort(columns, axis=1, kind="stable")
    means, medians = [], []
    for _ in range(N_RESAMPLES // PER_BLOCK):
        drawn = rng.multinomial(n, np.full(n, 1 / n), PER_BLOCK)
        counts = drawn[:, units]
        means.append(counts @ values / counts.sum(axis=1, keepdims=True))
        medians.append(weighted_medians(columns, order, counts))
    observed = {MEAN: values.mean(axis=0), MEDIAN: np.median(values, axis=0)}
    return observed, {MEAN: np.concatenate(means), MEDIAN: np.concatenate(medians)}


def interval(
    observed: np.ndarray, samples: np.ndarray, *, n_units: int, confidence: float
) -> Interval:
    """Percentiles of bootstrap samples ``(samples, predictions)``, expanded for few units.

    As :func:`pertscope._core.bootstrap.bootstrap_interval` has it. Where fewer than ten samples lie
    in a tail, as with a confidence that is shared among many predictions, they may be too near: it
    reaches at least as far as ``observed +- width sd(samples)``, with the width of
    :func:`pertscope._core.bootstrap.expanded_width`; of a mean that is Student's interval. Of fewer
    than two units, and where samples are undefined more often than a tail of the interval, it is
    NaN.
    """
    from scipy.special import ndtr

    none = np.full(len(observed), np.nan)
    if n_units < 2:
        return Interval(observed, none, none)
    width = expanded_width(n_units, confidence)
    tail = float(ndtr(-width))
    unsure = np.isnan(samples).mean(axis=0) > tail
    known = np.where(np.isnan(samples), observed, samples)
    low, high = np.quantile(known, [tail, 1 - tail], axis=0)
    if tail * len(samples) < LEAST_BEYOND:
        reach = width * known.std(axis=0)
        low, high = np.minimum(low, observed - reach), np.maximum(high, observed + reach)
    return Interval(observed, np.where(unsure, np.nan, low), np.where(unsure, np.nan, high))


def share(gain: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """``gain / gap``, NaN where there is no gap: the ceiling is no better than the floor."""
    found = np.full(np.broadcast_shapes(gain.shape, gap.shape), np.nan)
    return np.divide(gain, gap, out=found, where=np.broadcast_to(gap > 0, found.shape))
