"""What is judged: the observed conditions of a screen, and predictions laid beside them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from pertscope._core import keys
from pertscope._core.conditions import (
    Conditions,
    conditions_of,
    label_column,
    match_conditions,
    screen_conditions,
)
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed
from pertscope._core.predictions import CONTROLS, chosen_predictions
from pertscope._core.screen import Screen
from pertscope._core.splits import split_of
from pertscope.ev._comparison import Comparison, Options
from pertscope.ev._populations import Populations
from pertscope.ev._side import Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData

CONTROL_CHOICES = ("observed", "own")


@dataclass(frozen=True)
class Judged:
    """Observed conditions that are judged.

    Attributes
    ----------
    all_conditions
        Every condition of the screen.
    rows
        Which of them are judged, int64 ``(p,)``.
    train
        Which of them are perturbed and in train, int64; all perturbed ones where none is in train.
    side
        The judged conditions, observed.
    reference
        All conditions that were to be judged: the PCA is fitted on their cells.
    """

    all_conditions: Conditions
    rows: np.ndarray
    train: np.ndarray
    side: Side
    reference: Side

    @cached_property
    def conditions(self) -> Conditions:
        """The judged conditions."""
        return self.all_conditions.take(self.rows)

    def compare(self, predicted: Side, options: Options) -> Comparison:
        """All judged conditions, predicted so."""
        return Comparison(self.conditions, predicted, self.side, self.reference, options)

    def take(self, rows: np.ndarray) -> Judged:
        """Some of the judged conditions."""
        return replace(self, rows=self.rows[rows], side=self.side.take(rows))


def observe(adata: AnnData, split: str | None, *, with_training: bool = False) -> Judged:
    """Find the conditions of a part of the split, and their controls; nothing is read yet.

    Raises
    ------
    KeyError
        If the screen is not registered, or has no split.
    ValueError
        If the part is unknown, has no perturbed cells, or lost its matched controls.
    """
    screen = Screen.of(adata)
    conditions = screen_conditions(adata, screen)
    perturbed = ~conditions.is_control
    judged = perturbed.copy()
    in_train = np.zeros(len(conditions), dtype=bool)
    if split is not None and split not in keys.PARTS:
        raise ValueError(f"`split`={split!r} must be one of {keys.PARTS}, or None for all.")
    if split is not None or screen.split_key in adata.obs:
        part = split_of(adata, conditions)
        in_train = np.bincount(conditions.codes[part == keys.TRAIN], minlength=len(judged)) > 0
    if split is not None:
        judged &= np.bincount(conditions.codes[part == split], minlength=len(judged)) > 0
        if not judged.any():
            raise ValueError(f"no perturbed condition lies in {split!r}.")
    rows = np.flatnonzero(judged)
    in_train &= perturbed
    train = np.flatnonzero(in_train if in_train.any() else perturbed)
    controls = conditions.matched_controls(rows)
    needed = np.zeros(len(conditions), dtype=bool)
    needed[rows] = needed[controls] = True
    if with_training:
        needed[train] = needed[conditions.matched_controls(train)] = True
    codes = np.where(needed[conditions.codes], conditions.codes, -1)
    batch = None
    if screen.batch_key is not None and screen.batch_key in adata.obs:
        batch = label_column(adata.obs, screen.batch_key).codes.astype(np.int64)
    populations = Populations(
        matrix_of(adata, screen.layer),
        codes,
        len(conditions),
        adata.var_names,
        batch=batch,
        perturbed=np.where(perturbed[conditions.codes], conditions.codes, -1),
    )
    side = Side(populations, rows, populations, controls)
    return Judged(conditions, rows, train, side, reference=side)


def predicted(
    adata: AnnData,
    judged: Judged,
    names: str | Sequence[str] | None,
    *,
    options: Options,
    control: str = "observed",
    warn: bool,
) -> Iterator[tuple[str, np.ndarray, Comparison]]:
    """Yield ``(name, rows, comparison)``: which judged conditions a prediction has, and them.

    With `warn`, conditions that a prediction lacks are named, because its scores are over fewer.
    """
    if control not in CONTROL_CHOICES:
        raise ValueError(f"`control`={control!r} must be one of {CONTROL_CHOICES}.")
    for name, prediction in chosen_predictions(adata, names).items():
        rows, side = _predicted_side(name, prediction, judged, control)
        _say_what_is_not_scored(name, prediction, judged, rows, warn=warn)
        yield name, rows, judged.compare(judged.side, options).take(rows).with_prediction(side)


def _predicted_side(
    name: str, prediction: AnnData, judged: Judged, control: str
) -> tuple[np.ndarray, Side]:
    screen = judged.all_conditions.screen
    conditions = conditions_of(prediction.obs, screen)
    place = match_conditions(judged.conditions.table, conditions)
    rows = np.flatnonzero(place >= 0)
    if len(rows) == 0:
        raise ValueError(
            f"prediction {name!r} has none of the {len(place)} conditions to judge: it has "
            f"{listed(conditions.index)}."
        )
    x = prediction.X
    means_only = len(conditions) == prediction.n_obs
    if means_only:
        x = np.asarray(x.toarray() if sp.issparse(x) else x, dtype=np.float64)
    populations = Populations(x, conditions.codes, len(conditions), prediction.var_names)
    observed = judged.side.take(rows)
    controls, control_groups = judged.side.populations, observed.control_groups
    if control == "own":
        controls, control_groups = _own_controls(name, prediction, judged, rows)
    n_cells = observed.moments.n if means_only else None
    return rows, Side(populations, place[rows], controls, control_groups, n_cells)


def _own_controls(
    name: str, prediction: AnnData, judged: Judged, rows: np.ndarray
) -> tuple[Populations, np.ndarray]:
    """Controls that the prediction brought along, and which of them belong to each condition."""
    own = prediction.uns.get(CONTROLS)
    if own is None:
        raise ValueError(
            f"prediction {name!r} brought no controls of its own: add rows labelled "
            f"{judged.all_conditions.screen.control!r} to it, or use control='observed'."
        )
    conditions = conditions_of(own.obs, judged.all_conditions.screen)
    wanted = judged.all_conditions.table.iloc[judged.side.control_groups[rows]]
    place = match_conditions(wanted, conditions)
    if (place < 0).any():
        lost = judged.all_conditions.index[judged.side.control_groups[rows[place < 0]]]
        raise ValueError(f"prediction {name!r} has no controls for {listed(lost.unique())}.")
    own = own[:, prediction.var_names]
    return Populations(own.X, conditions.codes, len(conditions), own.var_names), place


def _say_what_is_not_scored(
    name: str, prediction: AnnData, judged: Judged, rows: np.ndarray, *, warn: bool
) -> None:
    every = judged.all_conditions
    predicted = conditions_of(prediction.obs, every.screen)
    unknown = predicted.index[match_conditions(predicted.table, every) < 0]
    if len(unknown):
        warnings.warn(
            f"prediction {name!r} has {len(unknown)} condition(s) that were never observed, they "
            f"are not scored: {listed(unknown)}.",
            UserWarning,
            stacklevel=5,
        )
    lacking = np.setdiff1d(np.arange(len(judged.rows)), rows)
    if warn and len(lacking):
        warnings.warn(
            f"prediction {name!r} lacks {len(lacking)} of {len(judged.rows)} conditions, "
            f"its scores are over the others: {listed(every.index[judged.rows[lacking]])}.",
            UserWarning,
            stacklevel=5,
        )
