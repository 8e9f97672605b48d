"""Predictions laid beside what was observed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.conditions import Conditions, match_conditions, screen_conditions
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed
from pertscope._core.moments import moments
from pertscope._core.predictions import chosen_predictions, predicted_means
from pertscope._core.screen import Screen
from pertscope._core.splits import split_of
from pertscope._core.statistics import STATISTICS, effect, logfc, require_logfc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData

FLOAT32_ROUNDING = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Observed:
    """Observed conditions that are judged.

    Attributes
    ----------
    conditions
        The conditions, without controls.
    mean, control
        Their means and those of their matched controls, float64 ``(conditions, genes)``.
    genes
        Names of the genes.
    """

    conditions: Conditions
    mean: np.ndarray
    control: np.ndarray
    genes: pd.Index

    def statistic(
        self, name: str, mean: np.ndarray, rows: np.ndarray, *, compat: str | None
    ) -> np.ndarray:
        """Statistic `name` of means of conditions `rows`, against their observed controls.

        Means that equal their controls up to float32 rounding have no effect at all: the
        direction of rounding errors is nobody's prediction.
        """
        if name == "mean":
            return mean
        control = self.control[rows]
        largest = np.abs(control).max(axis=1, initial=0)
        same = np.abs(mean - control).max(axis=1, initial=0) <= FLOAT32_ROUNDING * largest
        mean = np.where(same[:, None], control, mean)
        if name == "effect":
            return effect(mean, control)
        return logfc(mean, control, clip=compat is None)


def observe(adata: AnnData, split: str | None) -> Observed:
    """Read the means of the conditions of a part of the split, and of their controls.

    Raises
    ------
    KeyError
        If the screen is not registered, or has no split.
    ValueError
        If the part is unknown, has no perturbed cells, or lost its matched controls.
    """
    screen = Screen.of(adata)
    conditions = screen_conditions(adata, screen)
    judged = ~conditions.is_control
    if split is not None:
        if split not in keys.PARTS:
            raise ValueError(f"`split`={split!r} must be one of {keys.PARTS}, or None for all.")
        in_part = conditions.codes[split_of(adata, conditions) == split]
        judged &= np.bincount(in_part, minlength=len(conditions)) > 0
        if not judged.any():
            raise ValueError(f"no perturbed condition lies in {split!r}.")
    rows = np.flatnonzero(judged)
    controls = conditions.matched_controls(rows)
    needed = np.zeros(len(conditions), dtype=bool)
    needed[rows] = needed[controls] = True
    codes = np.where(needed[conditions.codes], conditions.codes, -1)
    found = moments(
        matrix_of(adata, screen.layer), codes, len(conditions), names=adata.var_names
    ).mean
    return Observed(conditions.take(rows), found[rows], found[controls], adata.var_names)


def predicted(
    adata: AnnData, observed: Observed, names: str | Sequence[str] | None, *, warn: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield ``(name, rows, means)``: which observed conditions a prediction has, and their means.

    With `warn`, conditions that a prediction lacks are named, because its scores are over fewer.
    """
    screen = observed.conditions.screen
    for name, prediction in chosen_predictions(adata, names).items():
        conditions, means = predicted_means(prediction, screen)
        place = match_conditions(observed.conditions.table, conditions)
        rows = np.flatnonzero(place >= 0)
        if len(rows) == 0:
            raise ValueError(
                f"prediction {name!r} has none of the {len(place)} conditions to judge: it has "
                f"{listed(conditions.index)}."
            )
        if warn and len(rows) < len(place):
            warnings.warn(
                f"prediction {name!r} lacks {len(place) - len(rows)} of {len(place)} conditions, "
                f"its scores are over the others: {listed(observed.conditions.index[place < 0])}.",
                UserWarning,
                stacklevel=3,
            )
        yield name, rows, means[place[rows]]


def check_statistics(names: Sequence[str]) -> None:
    """Refuse unknown statistics."""
    if isinstance(names, str):
        raise TypeError(f"`statistics` takes a list: [{names!r}].")
    unknown = [s for s in names if s not in STATISTICS]
    if unknown:
        raise ValueError(f"unknown statistic(s) {listed(unknown)}; there are {listed(STATISTICS)}.")


def check_logfc(observed: Observed, statistics: Sequence[str]) -> None:
    """Refuse logfc for a screen that has none."""
    if "logfc" in statistics:
        for mean in (observed.mean, observed.control):
            require_logfc(mean, list(observed.genes), "the screen")


def score_rows(
    observed: Observed,
    rows: np.ndarray,
    prediction: str,
    statistic: str,
    metric: str,
    value: np.ndarray,
) -> pd.DataFrame:
    """Part of a score table: one row per condition."""
    screen = observed.conditions.screen
    table = observed.conditions.table.iloc[rows].reset_index(drop=True)
    table = table.rename(columns={screen.perturbation_key: keys.PERTURBATION})
    table.insert(0, keys.PREDICTION, prediction)
    table[keys.STATISTIC] = statistic
    table[keys.METRIC] = metric
    table[keys.VALUE] = value
    return table


def score_table(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join parts of a score table; text becomes categorical."""
    if not parts:
        raise ValueError("there is nothing to score: no prediction, statistic or metric is named.")
    table = pd.concat(parts, ignore_index=True)
    text = [c for c in table.columns if c != keys.VALUE]
    # categories in order of appearance: the order in which the user gave them
    for c in text:
        table[c] = pd.Categorical(table[c], categories=table[c].unique())
    table.index = table.index.astype(str)
    return table
