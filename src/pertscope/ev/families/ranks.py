"""Ranks: does a prediction tell perturbations apart?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.distances import PAIRWISE
from pertscope.ev._discrimination import discrimination_score
from pertscope.ev._metric import SHARE, Metric
from pertscope.ev._ranks import ranks
from pertscope.ev._statistics import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope.ev._comparison import Comparison

PERTURBENCH = "Wu et al., PerturBench (2024), equations 2 and 3"
CELL_EVAL = "Arc Institute, cell-eval"


def known_contexts(comparison: Comparison, *values: np.ndarray) -> list[np.ndarray]:
    """Conditions of each combination of covariates, without those that have NaN in `values`."""
    known = ~np.isnan(np.hstack(values)).any(axis=1)
    found = [here[known[here]] for here in comparison.contexts]
    return [here for here in found if len(here)]


def rank_pair(
    comparison: Comparison, distance: str, statistic: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rank and transposed rank of every condition within its covariates, each float64 ``(p,)``."""

    def compute() -> tuple[np.ndarray, np.ndarray]:
        predicted, observed = comparison.pair(statistic)
        value = np.full((2, len(comparison)), np.nan)
        for here in known_contexts(comparison, predicted, observed):
            gaps = PAIRWISE[distance](predicted[here], observed[here])
            value[:, here] = ranks(gaps, ties=comparison.options.ties)
            if comparison.options.compat == "perturbench-v1":
                value[:, here] *= (len(here) - 1) / len(here)
        return value[0], value[1]

    return comparison.predicted.once(("rank", distance, statistic), compute)


def _rank(distance: str, which: int) -> Callable[[Comparison, str], np.ndarray]:
    def metric(comparison: Comparison, statistic: str) -> np.ndarray:
        return rank_pair(comparison, distance, statistic)[which]

    return metric


def _perturbation_discrimination(distance: str) -> Callable[[Comparison, str], np.ndarray]:
    def metric(comparison: Comparison, statistic: str) -> np.ndarray:
        return 1 - rank_pair(comparison, distance, statistic)[1]

    return metric


def _discrimination(distance: str) -> Callable[[Comparison, str], np.ndarray]:
    def metric(comparison: Comparison, statistic: str) -> np.ndarray:
        predicted, observed = comparison.pair(statistic)
        targets = _target_genes(comparison) if statistic != "pca" else None
        value = np.full(len(comparison), np.nan)
        compat = "cell-eval" if comparison.options.compat == "cell-eval" else None
        for here in known_contexts(comparison, predicted, observed):
            value[here] = discrimination_score(
                predicted[here],
                observed[here],
                distance,
                exclude=None if targets is None else targets[here],
                compat=compat,
            )
        return value

    return metric


def _target_genes(comparison: Comparison) -> np.ndarray:
    """Column of the gene that each perturbation is named after, int64 ``(p,)``; -1 where none."""
    labels = comparison.conditions.labels
    return np.asarray(comparison.genes.get_indexer(labels), dtype=np.int64)


METRICS: dict[str, Metric] = {}
for _d in PAIRWISE:
    METRICS[f"{_d}_rank"] = Metric(_rank(_d, 0), STATISTICS, False, SHARE, "means", PERTURBENCH)
    METRICS[f"{_d}_transposed_rank"] = Metric(
        _rank(_d, 1), STATISTICS, False, SHARE, "means", PERTURBENCH
    )
    METRICS[f"{_d}_discrimination"] = Metric(
        _perturbation_discrimination(_d), STATISTICS, True, SHARE, "means", PERTURBENCH
    )
for _d in ("l1", "l2", "cosine"):
    METRICS[f"discrimination_score_{_d}"] = Metric(
        _discrimination(_d), STATISTICS, True, SHARE, "means", CELL_EVAL
    )
