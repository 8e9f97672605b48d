"""Which training conditions a network is validated on, where a screen has no val part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.spare import spare_conditions
from pertscope._core.unseen import applies_any

if TYPE_CHECKING:
    from pertscope._core.conditions import Conditions


def validation_conditions(
    train: Conditions, held_out: Conditions, fraction: float, *, one_hot: bool, seed: int
) -> np.ndarray:
    """Training conditions that resemble the held-out ones, bool ``(conditions,)``.

    Those of some perturbations, if something held out applies one that is unseen; otherwise any.
    Never all, and none where nothing can be spared.

    Parameters
    ----------
    train
        Training conditions.
    held_out
        Conditions to predict.
    fraction
        Share of the perturbations or of the conditions, at least one.
    one_hot
        Whether perturbations are known by having been trained on alone: then only conditions whose
        perturbations others apply.
    seed
        Seed of the draw.
    """
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(train), dtype=bool)
    if one_hot:
        chosen[spare_conditions(train, rng.permutation(len(train)), fraction)] = True
        return chosen
    seen = {p for parts in train.components for p in parts}
    wanted = {p for parts in held_out.components for p in parts}
    if wanted and wanted <= seen:
        n = min(max(1, round(fraction * len(train))), len(train) - 1)
        chosen[rng.permutation(len(train))[:n]] = True
        return chosen
    names, n = sorted(seen), max(1, round(fraction * len(seen)))
    for i in rng.permutation(len(names)):
        # what all combinations share would leave nothing to train on
        more = chosen | applies_any(train, [names[i]])
        if n and not more.all():
            chosen, n = more, n - 1
    return chosen
