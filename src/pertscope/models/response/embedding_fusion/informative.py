"""Which embeddings say anything of effects, by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.models.response._joined_regression import fit_joined, predict_joined
from pertscope.models.response._regression import STACK, RegressionOptions

if TYPE_CHECKING:
    from pertscope.models.response._embedding_features import Sources

LEAST = 0.01
"""Squared effect that a stack takes from an embedding, as a share of the largest, to count."""


def informative(
    sources: Sources, effects: np.ndarray, group: np.ndarray, *, seed: int
) -> np.ndarray:
    """Whether a stack of ridge regressions takes anything from each embedding.

    In each group the stack predicts ``m + sum_s w_s (y_s - m)``, weights w_s being what inner folds
    bear out; an embedding counts by ``sum |w_s (y_s - m)|^2`` over all conditions.

    Parameters
    ----------
    sources
        Vectors of the training conditions.
    effects
        Their effects ``(conditions, genes)``.
    group
        Combination of covariates of each.
    seed
        Seed of the inner folds.

    Returns
    -------
    bool ``(embeddings,)``; all true where nothing is learned from any.
    """
    options = RegressionOptions(regressor="ridge", join=STACK, seed=seed)
    taken = np.zeros(len(sources.widths))
    if len(taken) == 1:
        return np.ones(1, bool)
    for name in np.unique(group):
        rows = np.flatnonzero(group == name)
        here = sources.take(rows)
        learned = fit_joined(here, effects[rows], options)
        for s, weight in enumerate(learned.get("stack", ())):
            if weight > 0:
                alone = learned | {"stack": np.where(np.arange(len(taken)) == s, weight, 0.0)}
                moved = predict_joined(alone, here, options) - learned["mean"]
                taken[s] += float((moved**2).sum())
    return taken >= LEAST * taken.max()
