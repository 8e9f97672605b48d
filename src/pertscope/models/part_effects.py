"""Effects that a model trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TRAIN
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed
from pertscope._core.moments import moments
from pertscope._core.splits import split_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions
    from pertscope._core.screen import Screen


@dataclass(frozen=True)
class PartEffects:
    """Effects of the perturbed conditions of some parts of a split.

    Attributes
    ----------
    conditions
        The conditions, those of the first part first.
    effects
        Their means minus those of the training controls, float64 ``(conditions, genes)``.
    part
        Part of each, object ``(conditions,)``.
    """

    conditions: Conditions
    effects: np.ndarray
    part: np.ndarray


def part_effects(
    adata: AnnData, screen: Screen, genes: Sequence[str], parts: Sequence[str] = (TRAIN,)
) -> PartEffects:
    """Read each cell of these parts, and the training controls, once.

    Raises
    ------
    ValueError
        If conditions have no control cells in train.
    """
    every = screen_conditions(adata, screen)
    of_cell, n = split_of(adata, every), len(every)
    of_control = every.is_control[every.codes]
    codes = np.where(of_control & (of_cell == TRAIN), every.codes, -1)
    for i, part in enumerate(parts):
        here = (of_cell == part) & ~of_control
        codes[here] = every.codes[here] + i * n
    used, place = np.unique(codes[codes >= 0], return_inverse=True)
    codes[codes >= 0] = place  # memory goes with the conditions that there are in these parts
    found = moments(matrix_of(adata, screen.layer), codes, len(used), names=list(genes))
    rows = np.flatnonzero(~every.is_control[used % n])
    chosen = used[rows] % n
    controls = every.matched_controls(chosen)
    lost = ~np.isin(controls, used)
    if lost.any():
        raise ValueError(
            f"there are no cells of {listed(every.index[np.unique(controls[lost])])} in "
            f"'train', which {listed(every.index[chosen[lost]])} are compared with: "
            "split again."
        )
    effects = found.mean[rows] - found.mean[np.searchsorted(used, controls)]
    of_row = np.array(list(parts), dtype=object)[used[rows] // n]
    return PartEffects(every.take(chosen), effects, of_row)
