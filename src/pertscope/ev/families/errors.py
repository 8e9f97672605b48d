"""Errors and correlations of predicted against observed statistics, per condition over genes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import distances
from pertscope._core.moments import Moments
from pertscope._core.t_test import t_test
from pertscope.ev._metric import ANY, CORRELATION, Metric
from pertscope.ev._statistics import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope.ev._comparison import Comparison

    Rows = Callable[[np.ndarray, np.ndarray], np.ndarray]

PERTURBENCH = "Wu et al., PerturBench (2024), section 4"
WEIGHTED = "Mejia et al., Diversity by Design (2025), arXiv:2506.22641"
NO_LIMIT_BELOW = (-math.inf, 1.0)


def _of_rows(function: Rows) -> Callable[[Comparison, str], np.ndarray]:
    def metric(comparison: Comparison, statistic: str) -> np.ndarray:
        return function(*comparison.pair(statistic))

    return metric


def _r2(comparison: Comparison, statistic: str) -> np.ndarray:
    predicted, observed = comparison.pair(statistic)
    if comparison.options.compat in ("perturbench", "perturbench-v1"):
        return distances.r2(observed, predicted)  # it takes the prediction as the truth
    return distances.r2(predicted, observed)


def gene_weights(comparison: Comparison) -> np.ndarray:
    """Weight of each gene in each condition, float64 ``(p, genes)``, rows summing to 1.

    The absolute t-score of the observed condition against the cells of all other judged conditions
    of the same covariates, scaled to 0..1 within the condition, squared. Genes that all
    perturbations move alike weigh little: they are what a mean effect gets right. Where a condition
    is alone in its covariates, it is tested against its controls.
    """

    def compute() -> np.ndarray:
        observed, control = comparison.observed.moments, comparison.observed.control_moments
        rest = observed.rest(comparison.conditions.context)
        alone = rest.n == 0
        others = Moments(
            np.where(alone, control.n, rest.n),
            np.where(alone[:, None], control.mean, rest.mean),
            np.where(alone[:, None], control.m2, rest.m2),
        )
        p = np.arange(len(comparison))
        score = np.abs(t_test(observed + others, np.tile(p + len(p), 2)).score[p])
        low = score.min(axis=1, keepdims=True)
        span = score.max(axis=1, keepdims=True) - low
        weight = np.divide(score - low, span, out=np.ones_like(score), where=span > 0) ** 2
        return weight / weight.sum(axis=1, keepdims=True)

    return comparison.observed.once("gene weights", compute)


def _weighted_mse(comparison: Comparison, statistic: str) -> np.ndarray:
    predicted, observed = comparison.pair(statistic)
    return np.sum(gene_weights(comparison) * (predicted - observed) ** 2, axis=1)


def _weighted_r2(comparison: Comparison, statistic: str) -> np.ndarray:
    weight = gene_weights(comparison)
    predicted, observed = (v.copy() for v in comparison.pair(statistic))
    for here in comparison.contexts:
        centre = observed[here].mean(axis=0)
        if len(here) > 1:  # from the mean of all perturbations, as the paper has it
            predicted[here] -= centre
            observed[here] -= centre
    mean = np.sum(weight * observed, axis=1, keepdims=True)
    total = np.sum(weight * (observed - mean) ** 2, axis=1)
    total[total == 0] = np.nan
    return 1 - np.sum(weight * (predicted - observed) ** 2, axis=1) / total


_OF_GENES = tuple(s for s in STATISTICS if s != "pca")

METRICS: dict[str, Metric] = {
    "rmse": Metric(
        _of_rows(distances.rmse), STATISTICS, False, ANY, "means", PERTURBENCH, half_depth="root"
    ),
    "mse": Metric(
        _of_rows(distances.mse), STATISTICS, False, ANY, "means", PERTURBENCH, half_depth="square"
    ),
    "mae": Metric(
        _of_rows(distances.mae), STATISTICS, False, ANY, "means", PERTURBENCH, half_depth="root"
    ),
    "l2": Metric(
        _of_rows(distances.l2), STATISTICS, False, ANY, "means", PERTURBENCH, half_depth="root"
    ),
    "cosine": Metric(
        _of_rows(distances.cosine),
        STATISTICS,
        True,
        CORRELATION,
        "means",
        PERTURBENCH,
        half_depth="spearman-brown",
    ),
    "pearson": Metric(
        _of_rows(distances.pearson),
        STATISTICS,
        True,
        CORRELATION,
        "means",
        PERTURBENCH,
        half_depth="spearman-brown",
    ),
    "spearman": Metric(
        _of_rows(distances.spearman),
        STATISTICS,
        True,
        CORRELATION,
        "means",
        PERTURBENCH,
        half_depth="spearman-brown",
    ),
    "r2": Metric(
        _r2, STATISTICS, True, NO_LIMIT_BELOW, "means", PERTURBENCH, half_depth="residual"
    ),
    "weighted_mse": Metric(
        _weighted_mse, _OF_GENES, False, ANY, "means", WEIGHTED, half_depth="square"
    ),
    "weighted_r2": Metric(
        _weighted_r2, _OF_GENES, True, NO_LIMIT_BELOW, "means", WEIGHTED, half_depth="residual"
    ),
}
