"""Perturbations that are held out everywhere, and which conditions that takes along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.keys import TEST, VAL
from pertscope._core.messages import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pertscope._core.conditions import Conditions

TRAIN_MEAN, NO_CHANGE = "train_mean", "no_change"
TRAIN_MODE, TRAIN_DRAW = "train_mode", "train_draw"
RANDOM, IDEALISED = "random", "idealised"
OF_LABELS = (TRAIN_MODE, TRAIN_DRAW)
"""Bounds of labels alone."""
PLAIN_BOUNDS = (TRAIN_MEAN, NO_CHANGE, *OF_LABELS)
"""Bounds that nothing is fitted for; predictions have their names."""
BOUNDS = (*PLAIN_BOUNDS, RANDOM, IDEALISED)


def is_bound(prediction: str) -> bool:
    """Whether a prediction is a bound, and no candidate."""
    return prediction in PLAIN_BOUNDS or prediction.endswith((f"_{RANDOM}", f"_{IDEALISED}"))


def perturbation_folds(
    conditions: Conditions,
    n_folds: int,
    *,
    alias: Mapping[str, str] | None = None,
    seed: int = 0,
) -> dict[str, int]:
    """Fold of each perturbation, the same in all combinations of covariates.

    Parameters
    ----------
    conditions
        Conditions of a screen.
    n_folds
        Number of folds, whose sizes differ by one at most.
    alias
        Other names of perturbations.
    seed
        Seed of the draw.

    Raises
    ------
    TypeError
        If the number of folds is no integer.
    ValueError
        If there are fewer than two folds, or fewer perturbations than folds; or if two labels stand
        for one perturbation, which could then be on both sides.
    """
    names = sorted({p for parts in conditions.components for p in parts})
    if not isinstance(n_folds, (int, np.integer)):
        raise TypeError(f"`n_folds`={n_folds!r} must be an integer.")
    if not 2 <= n_folds <= len(names):
        raise ValueError(
            f"`n_folds`={n_folds} must be at least 2 and at most the {len(names)} perturbations."
        )
    _refuse_same(names, alias or {})
    drawn = np.random.default_rng(seed).permutation(len(names))
    return {names[i]: place % n_folds for place, i in enumerate(drawn)}


def _refuse_same(names: list[str], alias: Mapping[str, str]) -> None:
    """Refuse labels that are one by `alias`, or but for capitals and spaces."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(alias.get(name, name).strip().casefold(), []).append(name)
    same = [" = ".join(group) for group in found.values() if len(group) > 1]
    if same:
        raise ValueError(
            f"{len(same)} perturbation(s) have more than one label: {listed(same)}. They would be "
            "held out under one and trained on under the other: give each one label."
        )


def unseen_parts(
    conditions: Conditions,
    folds: Mapping[str, int],
    fold: int,
    *,
    val_fraction: float = 0.0,
    seed: int = 0,
) -> dict[int, str]:
    """Part of each condition that is not in train, where one fold of perturbations is test.

    Parameters
    ----------
    conditions
        Conditions of a screen.
    folds
        Fold of each perturbation.
    fold
        The one that is test.
    val_fraction
        Share of the other perturbations that is val, at least one if it is positive.
    seed
        Seed of the draw of these.
    """
    others = [name for name in sorted(folds) if folds[name] != fold]
    n_val = max(round(val_fraction * len(others)), int(val_fraction > 0))
    drawn = np.random.default_rng([seed, fold]).permutation(len(others))[:n_val]
    in_test = applies_any(conditions, folds.keys() - set(others))
    in_val = applies_any(conditions, [others[i] for i in drawn]) & ~in_test
    parts = dict.fromkeys(np.flatnonzero(in_test).tolist(), TEST)
    return parts | dict.fromkeys(np.flatnonzero(in_val).tolist(), VAL)


def applies_any(conditions: Conditions, names: Collection[str]) -> np.ndarray:
    """Whether a condition applies any of these perturbations, bool ``(conditions,)``."""
    wanted = set(names)
    return np.array([not wanted.isdisjoint(parts) for parts in conditions.components], dtype=bool)
