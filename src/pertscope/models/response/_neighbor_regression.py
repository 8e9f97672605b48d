"""Regression by nearest neighbours: the mean effect of the most similar perturbations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

METRICS = ("l2", "cosine", "tanimoto")
WEIGHTS = ("uniform", "distance")


def neighbor_errors(
    features: np.ndarray,
    gram: np.ndarray,
    fold: np.ndarray,
    n_neighbors: Sequence[int],
    *,
    metric: str,
    weights: str,
) -> np.ndarray:
    """Mean L2 error of held-out rows for each number of neighbours, float64 ``(numbers,)``.

    Parameters
    ----------
    features
        float64 ``(n, features)``.
    gram
        ``Y Y'`` of the effects Y, whatever is taken off all of them, float64 ``(n, n)``.
    fold
        Fold of each row, int64 ``(n,)``: its neighbours are of other folds.
    n_neighbors
        Numbers of neighbours.
    """
    from pertscope.models.response import _regression_kernels as kernels

    distance = kernels.distances(features, features, METRICS.index(metric))
    found = kernels.nearest(distance, fold, fold, max(n_neighbors))
    weight = _weights(np.take_along_axis(distance, found, axis=1), weights)
    errors = kernels.squared_errors(gram, found, weight)
    return np.sqrt(errors[:, np.array(n_neighbors) - 1]).mean(axis=0)


def neighbor_mean(
    features: np.ndarray,
    effects: np.ndarray,
    new: np.ndarray,
    n_neighbors: int,
    *,
    metric: str,
    weights: str,
) -> np.ndarray:
    """Mean effect of the rows of `features` nearest to each of `new`, float64 ``(new, genes)``."""
    from pertscope.models.response import _regression_kernels as kernels

    distance = kernels.distances(new, features, METRICS.index(metric))
    none = np.full(len(new), -1, np.int64)
    found = kernels.nearest(distance, none, np.zeros(len(features), np.int64), n_neighbors)
    weight = _weights(np.take_along_axis(distance, found, axis=1), weights)
    weight /= weight.sum(axis=1, keepdims=True)
    return kernels.weighted_sums(weight, found, effects)


def _weights(distance: np.ndarray, weights: str) -> np.ndarray:
    """Weights of neighbours: all the same, or 1 / distance; who is at distance 0 has it all."""
    if weights == "uniform":
        return np.ones_like(distance)
    same = distance == 0
    with np.errstate(divide="ignore"):
        weight = 1 / distance
    return np.where(same.any(axis=1, keepdims=True), same.astype(np.float64), weight)
