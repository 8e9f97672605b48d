"""Metrics applied to a comparison, and laid out as a tidy table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope.ev._metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pertscope._core.conditions import Conditions
    from pertscope.ev._comparison import Comparison

    Chosen = tuple[str, str]
    Scores = dict[Chosen, np.ndarray]

EVERY = "(all)"
"""Perturbation, or covariate, of a score that is one for all of them."""


def score(
    comparison: Comparison,
    chosen: Sequence[Chosen],
    *,
    step: Callable[[str], object] = lambda _: None,
) -> Scores:
    """Values of pairs of metric and statistic, by the metric's level.

    float64 ``(conditions,)``, ``(combinations of covariates,)`` or ``(1,)``. `step` is told each
    metric's name when it is done.
    """
    found = {}
    for name, statistic in chosen:
        value = np.asarray(METRICS[name].function(comparison, statistic), dtype=np.float64)
        found[name, statistic] = value
        step(name)
    return found


def lay_out(conditions: Conditions, level: str) -> pd.DataFrame:
    """Covariates and perturbation of every value of a level, one row each."""
    screen = conditions.screen
    table = conditions.table.rename(columns={screen.perturbation_key: keys.PERTURBATION})
    if level == "condition":
        return table.reset_index(drop=True)
    covariates = list(screen.covariate_keys)
    if level == "context":
        first = np.unique(conditions.context, return_index=True)[1]
        table = table.iloc[first].reset_index(drop=True)
    else:
        table = pd.DataFrame({k: [EVERY] for k in covariates}, index=[0])
    table[keys.PERTURBATION] = EVERY
    return table[[*covariates, keys.PERTURBATION]]


def places(level: str, conditions: Conditions, rows: np.ndarray) -> np.ndarray:
    """Which values of all conditions those of some conditions are, int64."""
    if level == "condition":
        return rows
    return np.unique(conditions.context[rows]) if level == "context" else np.zeros(1, np.int64)


def score_rows(
    conditions: Conditions, prediction: str, chosen: Chosen, columns: Mapping[str, Any]
) -> pd.DataFrame:
    """Part of a score table: one row per value."""
    name, statistic = chosen
    table = lay_out(conditions, METRICS[name].level)
    named = {keys.STATISTIC: statistic, keys.METRIC: name}
    return pd.DataFrame({keys.PREDICTION: prediction} | dict(table) | named | dict(columns))


def score_table(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join parts of a score table; text becomes categorical."""
    if not parts:
        raise ValueError("there is nothing to score: no prediction, statistic or metric is named.")
    table = pd.concat(parts, ignore_index=True)
    # categories in order of appearance: the order in which the user gave them
    for column in table.columns[[not pd.api.types.is_float_dtype(t) for t in table.dtypes]]:
        table[column] = pd.Categorical(table[column], categories=table[column].unique())
    table.index = table.index.astype(str)
    return table
