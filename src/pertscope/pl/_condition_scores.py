"""Scores of single conditions, one column per prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core import keys
from pertscope._core.messages import nearest
from pertscope._core.score_tables import score_tables
from pertscope._core.screen import Screen
from pertscope.ev._metrics import FAMILIES, full_names
from pertscope.pl._style import chosen_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData


def condition_scores(
    adata: AnnData, metric: str, predictions: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Scores of predictions by one metric, condition by condition.

    Parameters
    ----------
    adata
        Registered screen that was judged by ``ps.ev`` functions.
    metric
        Name such as ``"rmse_mean"``.
    predictions
        Predictions that are wanted; all that were scored by the metric by default.

    Returns
    -------
    float64 ``(conditions, predictions)``, NaN where there is no score; of several scores, the one
    that was judged last. Conditions are named by perturbation, and by covariates that differ.

    Raises
    ------
    KeyError
        If nothing was judged yet, or the metric or a prediction was not.
    """
    screen = Screen.of(adata)
    table = score_tables(adata)
    metrics = table[keys.METRIC] + "_" + table[keys.STATISTIC]
    rows = table[metrics == metric]
    if not len(rows):
        hint = nearest(metric, metrics.unique()) + _scorer(metric)
        raise KeyError(f"no scores of {metric!r}; {hint}.")
    names = chosen_names(list(rows[keys.PREDICTION].unique()), predictions)
    rows = rows.assign(condition=condition_names(rows, list(screen.covariate_keys)))
    last = rows.drop_duplicates([keys.PREDICTION, "condition"], keep="last")
    # pivot_table would drop predictions whose scores are all NaN
    wide = last.pivot(index="condition", columns=keys.PREDICTION, values=keys.VALUE)  # noqa: PD010
    return wide.loc[rows["condition"].unique(), names].astype(float)


def condition_names(rows: pd.DataFrame, covariate_keys: list[str]) -> pd.Series:
    """``"k562|A+B"`` of each row; covariates that have one value only are left out."""
    differing = [k for k in covariate_keys if len(set(rows[k].astype(str))) > 1]
    name = rows[keys.PERTURBATION].astype(str)
    for key in reversed(differing):
        name = rows[key].astype(str) + "|" + name
    return name


def _scorer(metric: str) -> str:
    """Which function scores it."""
    known = full_names()
    if metric not in known:
        return ""
    family = next(name for name, metrics in FAMILIES.items() if known[metric][0] in metrics)
    return f"; `ps.ev.{family}` scores it, or `ps.ev.evaluate`"
