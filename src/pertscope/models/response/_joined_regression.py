"""Regression on several embeddings: side by side, or one by one and then weighed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pertscope.models.response._regression import (
    CONCAT,
    fit_regression,
    inner_folds,
    predict_regression,
)

if TYPE_CHECKING:
    from pertscope.models.response._embedding_features import Sources
    from pertscope.models.response._regression import RegressionOptions

RIDGE = 1e-10
"""What keeps sources that predict the same apart, as a share of what they predict."""


def is_stacked(sources: Sources, options: RegressionOptions) -> bool:
    """Whether there are several embeddings, each of which has a regression of its own."""
    return options.join != CONCAT and len(sources.widths) > 1


def fit_joined(
    sources: Sources,
    effects: np.ndarray,
    options: RegressionOptions,
    *,
    gram: np.ndarray | None = None,
    features: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Fit the effects of the training conditions of one combination of covariates.

    As :func:`fit_regression`. Stacked, each embedding s has a regression of its own, and ``y = m +
    sum_s w_s (y_s - m)`` with m the mean effect and weights w, none negative, that fit what the
    regressions predict out of the inner folds best.

    Returns
    -------
    Stacked: ``"mean"`` and, if there is something to learn from, ``"stack"``, the weights
    ``(embeddings,)``, ``"chosen"``, which is 0, and the arrays of each regression.
    """
    if not is_stacked(sources, options):
        return fit_regression(sources, effects, options, gram=gram, features=features)
    arrays: dict[str, np.ndarray] = {"mean": effects.mean(axis=0, dtype=np.float64)}
    singles = sources.each()
    fitted = [fit_regression(single, effects, options, gram=gram) for single in singles]
    if not any("chosen" in one for one in fitted):
        return arrays
    fixed = []
    for one in fitted:
        value = float(one.get("chosen", 1.0))
        fixed.append(replace(options, n_neighbors=(max(int(value), 1),), penalties=(value or 1.0,)))
    arrays |= {"chosen": np.array(0.0), "stack": _weigh(singles, effects, fixed)}
    for i, one in enumerate(fitted):
        arrays |= {f"{i}.{k}": v for k, v in one.items()}
    return arrays


def predict_joined(
    arrays: dict[str, np.ndarray], sources: Sources, options: RegressionOptions
) -> np.ndarray:
    """Effects of conditions, ``(conditions, genes)``; the training mean where nothing is known."""
    if not is_stacked(sources, options) or "stack" not in arrays:
        return predict_regression(arrays, sources, options)
    found = np.tile(arrays["mean"], (len(sources.vectors), 1))
    for i, single in enumerate(sources.each()):
        first = f"{i}."
        one = {k.removeprefix(first): v for k, v in arrays.items() if k.startswith(first)}
        found += arrays["stack"][i] * (predict_regression(one, single, options) - arrays["mean"])
    return found


def _weigh(
    singles: list[Sources], effects: np.ndarray, options: list[RegressionOptions]
) -> np.ndarray:
    """Weights of the regressions by what they predict out of the inner folds, float64."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import nnls

    n = len(singles)
    gram, target = np.zeros((n, n)), np.zeros(n)
    fold = inner_folds(len(effects), options[0].n_inner_folds, options[0].seed)
    for held_out in (fold == f for f in np.unique(fold)):
        y, rows = effects[~held_out], np.flatnonzero(held_out)
        mean = y.mean(axis=0, dtype=np.float64)
        above = np.empty((n, len(rows) * len(mean)))
        for i, (single, how) in enumerate(zip(singles, options, strict=True)):
            learned = fit_regression(single.take(np.flatnonzero(~held_out)), y, how)
            above[i] = (predict_regression(learned, single.take(rows), how) - mean).ravel()
        gram += above @ above.T
        target += above @ (effects[rows] - mean).ravel()
    if not np.trace(gram) > 0:
        return np.zeros(n)  # all predict the mean
    lower = cholesky(gram + RIDGE * np.trace(gram) * np.eye(n), lower=True)
    return nnls(lower.T, solve_triangular(lower, target, lower=True))[0]
