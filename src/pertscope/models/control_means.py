"""What the controls of each combination of covariates are like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import CONTROL_MEAN, TRAIN
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed
from pertscope._core.moments import moments
from pertscope._core.splits import split_of

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions
    from pertscope._core.screen import Screen


def context_names(conditions: Conditions) -> np.ndarray:
    r"""Combination of covariates of each condition, ``"k562|24h"``, str ``(conditions,)``.

    A ``|`` in one of several values is written ``\|``: different combinations differ in name.
    """
    names = np.array([_name(context) for context in conditions.contexts], dtype=str)
    return names[conditions.context]


def _name(context: tuple[str, ...]) -> str:
    if len(context) == 1:  # nothing to tell apart
        return context[0]
    return "|".join(value.replace("\\", r"\\").replace("|", r"\|") for value in context)


def controls_by_context(adata: AnnData, screen: Screen) -> tuple[np.ndarray, np.ndarray]:
    """Mean training control of each combination of covariates that has any.

    A screen of effects (:func:`pertscope.tl.effects`) holds it in a layer: its rows of controls
    are zeros.

    Returns
    -------
    Names, str ``(contexts,)``, and means, float64 ``(contexts, genes)``.

    Raises
    ------
    ValueError
        If all are zeros: the screen holds effects, but not what its controls were.
    """
    conditions = screen_conditions(adata, screen)
    in_train = split_of(adata, conditions) == TRAIN
    codes = np.where(in_train & conditions.is_control[conditions.codes], conditions.codes, -1)
    layer = CONTROL_MEAN if CONTROL_MEAN in adata.layers else screen.layer
    x = matrix_of(adata, layer)
    found = moments(x, codes, len(conditions), names=list(adata.var_names))
    there = np.flatnonzero(found.n > 0)
    means = found.mean[there]
    if not means.any():
        raise ValueError(
            "the controls are zeros: a screen of effects needs what they were, in "
            f"`.layers[{CONTROL_MEAN!r}]`, where `ps.tl.effects` keeps it."
        )
    return context_names(conditions.take(there)), means


def places_of(conditions: Conditions, names: np.ndarray) -> np.ndarray:
    """Place of each condition's combination of covariates among `names`, int64.

    Raises
    ------
    ValueError
        If one is not among them.
    """
    place = {str(name): i for i, name in enumerate(names)}
    wanted = context_names(conditions)
    unknown = sorted(set(wanted.tolist()) - place.keys())
    if unknown:
        raise ValueError(
            f"the model saw no controls of {listed(unknown)} in training: put them into the train "
            "part of its screen."
        )
    return np.array([place[str(name)] for name in wanted], dtype=np.int64)
