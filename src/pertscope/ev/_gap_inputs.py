"""What the gap between floor and ceiling is measured on: scores and ceilings by condition."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.messages import listed, nearest
from pertscope._core.score_tables import score_tables
from pertscope._core.screen import Screen
from pertscope.ev._bounds import QUANTILE as ERROR_QUANTILE
from pertscope.ev._metrics import METRICS, full_names, higher_is_better
from pertscope.ev._score import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

BA_ATE, EFFECT = "ba_ate", "effect"


@dataclass(frozen=True)
class Scored:
    """Scores of predictions by one metric.

    Attributes
    ----------
    table
        One row per condition: the covariates, ``perturbation``, and ``fold``, missing where there
        are none; strings.
    values
        Scores, float64 ``(conditions, predictions)``, NaN where there is none.
    context
        Combination of covariates of each condition, int64.
    """

    table: pd.DataFrame
    values: pd.DataFrame
    context: np.ndarray


def check_metric(metric: str) -> bool:
    """Whether higher is better in a metric; refuse those without a value per condition.

    Raises
    ------
    KeyError
        If there is no such metric.
    ValueError
        If it has no better, or not one value per condition.
    """
    known = full_names()
    if metric not in known:
        raise KeyError(f"there is no metric {metric!r}; {nearest(metric, known)}.")
    higher = higher_is_better(metric)
    level = METRICS[known[metric][0]].level
    if higher is None or level != "condition":
        why = (
            "is a diagnosis, and has no better" if higher is None else f"has one value per {level}"
        )
        raise ValueError(f"{metric!r} {why}: take one as 'l2_effect', which each condition has.")
    return higher


def read_scores(
    adata: AnnData, metric: str, predictions: str | Sequence[str] | None, floor: str
) -> Scored:
    """Scores of the perturbed conditions of a screen, those of the floor among them.

    Raises
    ------
    KeyError
        If nothing was judged by the metric, or one of the predictions was not.
    """
    screen = Screen.of(adata)
    scores = score_tables(adata)
    scores = scores[scores[keys.METRIC] + "_" + scores[keys.STATISTIC] == metric]
    if scores.empty:
        name, statistic = full_names()[metric]
        raise KeyError(
            f"no prediction has a score {metric!r}: call a function of `ps.ev` that gives it, as "
            f"`ps.ev.error_metrics(adata, metrics=[{name!r}], statistics=[{statistic!r}], "
            "split=None)`."
        )
    judged = list(scores[keys.PREDICTION].unique())
    wanted = judged if predictions is None else [predictions]
    if predictions is not None and not isinstance(predictions, str):
        wanted = list(predictions)
    for name in [*wanted, floor]:
        if name not in judged:
            hint = "; `ps.tl.cross_validate(bounds=[...])` makes it" if name == floor else ""
            raise KeyError(
                f"prediction {name!r} has no score {metric!r}; {nearest(name, judged)}{hint}."
            )
    where = [*screen.covariate_keys, keys.PERTURBATION]
    last = scores.astype(dict.fromkeys(where, str)).drop_duplicates(
        [keys.PREDICTION, *where], keep="last"
    )
    # pivot_table would drop predictions whose scores are all NaN
    wide = last.pivot(index=where, columns=keys.PREDICTION, values=keys.VALUE)  # noqa: PD010
    conditions = screen_conditions(adata, screen)
    perturbed = conditions.take(np.flatnonzero(~conditions.is_control))
    table = lay_out(perturbed, "condition")
    table[keys.FOLD] = _folds(adata, conditions.codes)[~conditions.is_control]
    values = wide.reindex(_index(table, where))[list(dict.fromkeys([floor, *wanted]))]
    scored = np.flatnonzero(values.notna().any(axis=1).to_numpy())
    rows = table.iloc[scored].reset_index(drop=True)
    context = perturbed.context[scored]
    return Scored(rows, values.iloc[scored].reset_index(drop=True).astype(float), context)


def _index(table: pd.DataFrame, where: list[str]) -> pd.Index:
    return pd.MultiIndex.from_frame(table[where]) if len(where) > 1 else pd.Index(table[where[0]])


def _folds(adata: AnnData, codes: np.ndarray) -> np.ndarray:
    """Fold of each condition, object; None where there are none."""
    found = np.full(codes.max(initial=-1) + 1, None, dtype=object)
    if keys.FOLD in adata.obs:
        fold = adata.obs[keys.FOLD].astype(object)
        rows = np.flatnonzero(fold.notna())
        found[codes[rows]] = fold.to_numpy()[rows].astype(str)
    return found


def read_ceiling(
    adata: AnnData, scored: Scored, ceiling: str | pd.DataFrame, metric: str
) -> np.ndarray:
    """Ceiling of each condition, float64 ``(conditions,)``; NaN, with a warning, where none.

    Raises
    ------
    KeyError
        If there is no table of that name, or no ceiling of the metric.
    TypeError
        If it is neither a name nor a table.
    ValueError
        If it says nothing of these conditions.
    """
    if isinstance(ceiling, str):
        if ceiling not in adata.uns:
            raise KeyError(
                f"`.uns` has no ceiling {ceiling!r}: pass the table that `ps.ev.ceiling` wrote for "
                "the screen of cells, `ceiling=cells.uns['ceiling']`, or `ceiling=None` to "
                "compare with the floor alone."
            )
        ceiling = adata.uns[ceiling]
    if not {keys.QUANTILE, keys.METRIC, keys.STATISTIC, keys.VALUE} <= set(
        getattr(ceiling, "columns", ())
    ):
        raise TypeError("`ceiling` must be a table of `ps.ev.ceiling`, or its key in `.uns`.")
    rows = _of_metric(ceiling, metric)
    quantile = 1 - ERROR_QUANTILE if check_metric(metric) else ERROR_QUANTILE
    near = np.isclose(rows[keys.QUANTILE].to_numpy(float), quantile)
    where = list(scored.table.columns[:-1])
    missing = [c for c in where if c not in rows]
    if missing:
        raise ValueError(f"`ceiling` is of another screen: it has no column {listed(missing)}.")
    last = rows[near].astype(dict.fromkeys(where, str)).drop_duplicates(where, keep="last")
    values = last.set_index(where)[keys.VALUE].reindex(_index(scored.table, where))
    found = values.to_numpy(dtype=float)
    lacking = np.isnan(found)
    if lacking.all():
        raise ValueError("`ceiling` is of another screen: it has none of the judged conditions.")
    if lacking.any():
        names = ["|".join(row) for row in scored.table.loc[lacking, where].to_numpy()]
        warnings.warn(
            f"{len(names)} of {len(lacking)} conditions have no ceiling, they are left out: "
            f"{listed(names)}.",
            UserWarning,
            stacklevel=3,
        )
    return found


def _of_metric(ceiling: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rows of a metric; of effects that are BA-ATE, the cells' ceiling has that name."""
    name, statistic = full_names()[metric]
    rows = ceiling[ceiling[keys.METRIC].astype(str) == name]
    there = list(rows[keys.STATISTIC].astype(str).unique())
    if statistic == EFFECT and set(there) >= {BA_ATE, EFFECT}:
        raise ValueError(
            f"`ceiling` has {name!r} of 'effect' and of 'ba_ate': pass the rows of that which "
            "the effects are, `table[table['statistic'] == 'ba_ate']`."
        )
    if statistic == EFFECT and there == [BA_ATE]:
        statistic = BA_ATE
    if statistic not in there:
        full = (
            ceiling[keys.METRIC].astype(str) + "_" + ceiling[keys.STATISTIC].astype(str)
        ).unique()
        raise KeyError(f"`ceiling` has no {metric!r}; it has {listed(full)}.")
    return rows[rows[keys.STATISTIC].astype(str) == statistic]
