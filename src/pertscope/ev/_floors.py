"""Uninformed guesses: what a score is worth without having learned anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.ev._populations import Populations
from pertscope.ev._side import Side

if TYPE_CHECKING:
    from pertscope.ev._judged import Judged

NO_CHANGE, MEAN_EFFECT, ADDITIVE, PERMUTED = "no_change", "mean_effect", "additive", "permuted"


def floors(judged: Judged, *, of_cells: bool = False, seed: int = 0) -> dict[str, Side]:
    """Uninformed predictions of the judged conditions.

    - ``no_change``: the matched controls.
    - ``mean_effect``: matched controls plus the mean effect of the training perturbations of the
      same covariates (of all training perturbations where there are none).
    - ``additive``: matched controls plus the sum of the effects of the parts, for combinations
      whose parts are all in train alone; elsewhere the mean effect. Only where there are such.
    - ``permuted``: the observation of another judged condition of the same covariates.

    With `of_cells` they are populations of cells: in place of the mean effect, all training cells
    of the same covariates that were perturbed; the sum has none.

    `judged` must have been observed with its training conditions.
    """
    side = judged.side
    found = {
        NO_CHANGE: Side(side.populations, side.control_groups, side.controls, side.control_groups)
    }
    found[PERMUTED] = _permuted(judged, seed)
    if of_cells:
        return found | _training_cells(judged)
    mean_effect = _mean_effects(judged)
    found[MEAN_EFFECT] = _of_effects(judged, mean_effect)
    added, is_sum = _sums_of_parts(judged)
    if is_sum.any():
        found[ADDITIVE] = _of_effects(judged, np.where(is_sum[:, None], added, mean_effect))
    return found


def _of_effects(judged: Judged, effects: np.ndarray) -> Side:
    side = judged.side
    means = side.control_moments.mean + effects
    p = np.arange(len(means))
    populations = Populations(means, p, len(p), side.populations.genes)
    return Side(populations, p, side.controls, side.control_groups, side.moments.n)


def _train_effects(judged: Judged) -> np.ndarray:
    means = judged.side.populations.moments.mean
    return means[judged.train] - means[judged.all_conditions.matched_controls(judged.train)]


def _mean_effects(judged: Judged) -> np.ndarray:
    """Mean effect of the training perturbations of each judged condition's covariates."""
    effects, context = _train_effects(judged), judged.all_conditions.context
    found = np.empty((len(judged.rows), effects.shape[1]))
    for c in np.unique(context[judged.rows]):
        here = effects[context[judged.train] == c]
        found[context[judged.rows] == c] = (here if len(here) else effects).mean(axis=0)
    return found


def _sums_of_parts(judged: Judged) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the effects of the parts of each judged condition, and whether all are in train."""
    every, effects = judged.all_conditions, _train_effects(judged)
    single = {
        (every.context[row], every.components[row][0]): effect
        for row, effect in zip(judged.train, effects, strict=True)
        if len(every.components[row]) == 1
    }
    total = np.zeros((len(judged.rows), effects.shape[1]))
    known = np.zeros(len(judged.rows), dtype=bool)
    for i, row in enumerate(judged.rows):
        parts = [(every.context[row], part) for part in every.components[row]]
        known[i] = len(parts) > 1 and all(part in single for part in parts)
        if known[i]:
            total[i] = np.sum([single[part] for part in parts], axis=0)
    return total, known


def _permuted(judged: Judged, seed: int) -> Side:
    side, context = judged.side, judged.all_conditions.context[judged.rows]
    groups = side.groups.copy()
    rng = np.random.default_rng(seed)
    for c in np.unique(context):
        order = rng.permutation(np.flatnonzero(context == c))
        # shifted by one along a random order, so that none keeps its own
        groups[order] = (
            side.groups[np.roll(order, 1)] if len(order) > 1 else side.control_groups[order]
        )
    return Side(side.populations, groups, side.controls, side.control_groups)


def _training_cells(judged: Judged) -> dict[str, Side]:
    """Perturbed training cells of each judged condition's covariates, pooled."""
    every, side = judged.all_conditions, judged.side
    pool = np.full(len(every), -1, np.int64)
    pool[judged.train] = every.context[judged.train]
    context = every.context[judged.rows]
    if not np.isin(context, pool).all():
        return {}
    codes = np.where(side.populations.codes >= 0, pool[side.populations.codes], -1)
    cells = side.populations.regroup(codes, int(every.context.max()) + 1)
    return {MEAN_EFFECT: Side(cells, context, side.controls, side.control_groups)}
