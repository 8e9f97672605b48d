"""All scores of a screen in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.bootstrap import bootstrap_interval
from pertscope._core.messages import nearest
from pertscope._core.score_tables import score_tables
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

QUANTITIES = ("mean", "ci_low", "ci_high", "n_conditions")
BOUNDS = (keys.FLOOR, keys.CEILING, keys.NORMALISED)


def scores(
    adata: AnnData,
    *,
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Join all score tables of a screen into one table of predictions x metrics.

    Each score is the mean over conditions, with a bootstrap interval over conditions, expanded
    percentiles, which cover as they should for few conditions as well. Of a metric that several
    tables have for a prediction, the latest table counts: parts of a split are not mixed.
    Conditions for which a metric is undefined do not enter its mean; how many entered is part of
    the table.

    Parameters
    ----------
    adata
        Registered screen that was judged by ``ps.ev`` functions.
    metrics
        Names of the metrics to keep, such as ``["rmse_mean", "rmse_rank_mean"]``.
    confidence
        Coverage of the intervals.
    seed
        Seed of the bootstrap.

    Returns
    -------
    One row per prediction. Columns have two levels: ``mean``, ``ci_low``, ``ci_high`` (float64),
    ``n_conditions`` (int64), and the metric, named ``<metric>_<statistic>``: ``scores["mean"]`` is
    the plain table of predictions x metrics. After :func:`pertscope.ev.evaluate` also ``floor``,
    ``ceiling`` and ``normalised = (mean - floor) / (ceiling - floor)`` (float64), of means over the
    conditions that have all three: 0 is no better than a guess, 1 as good as a replicate of the
    experiment; NaN where the ceiling is no better than the floor, so that nothing can be told.

    Raises
    ------
    KeyError
        If nothing was judged yet, or there is no such metric.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_mean_effect(adata)
    >>> ps.ev.error_metrics(adata)
    >>> ps.get.scores(adata)["mean"]["rmse_mean"].index.tolist()
    ['mean_effect']
    """
    Screen.of(adata)
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence`={confidence} must lie between 0 and 1.")
    table = score_tables(adata)
    name = table[keys.METRIC].astype(str) + "_" + table[keys.STATISTIC].astype(str)
    table = table.assign(**{keys.METRIC: name})
    if metrics is not None:
        known = name.unique()
        for metric in metrics:
            if metric not in known:
                raise KeyError(f"no scores of {metric!r}; {nearest(metric, known)}.")
        table = table[name.isin(metrics)]
    columns = list(metrics) if metrics is not None else list(name.unique())
    predictions = list(table[keys.PREDICTION].astype(str).unique())
    found: dict[tuple[str, str], dict[str, float]] = {}
    groups = table.groupby([keys.PREDICTION, keys.METRIC], sort=False, observed=True)
    for (p, m), rows in groups:
        interval = bootstrap_interval(
            rows[keys.VALUE].to_numpy(dtype=float), confidence=confidence, seed=seed
        )
        found[str(p), str(m)] = dict(zip(QUANTITIES, interval, strict=True)) | _bounds(rows)
    wide = {
        (quantity, metric): [
            found.get((p, metric), {}).get(quantity, 0 if quantity == "n_conditions" else np.nan)
            for p in predictions
        ]
        for quantity in (*QUANTITIES, *(q for q in BOUNDS if any(q in f for f in found.values())))
        for metric in columns
    }
    index = pd.Index(predictions, name=keys.PREDICTION)
    result = pd.DataFrame(wide, index=index)
    result.columns.names = [None, keys.METRIC]
    return result


def _bounds(rows: pd.DataFrame) -> dict[str, float]:
    """Mean floor and ceiling over the conditions that have a score, and where it lies between.

    That is over the conditions that have all three: one of a single cell, which has no halves and
    no ceiling, would otherwise move the score and not the ceiling.
    """
    scored = rows[rows[keys.VALUE].notna()]
    found = {k: scored[k].mean() for k in (keys.FLOOR, keys.CEILING) if k in rows}
    found = {k: v for k, v in found.items() if rows[k].notna().any()}
    if len(found) == 2:
        value, floor, ceiling = scored[[keys.VALUE, keys.FLOOR, keys.CEILING]].dropna().mean()
        sign = {"higher": 1, "lower": -1}.get(str(rows[keys.BETTER].iloc[0]), 0)
        better = sign * (ceiling - floor) > 0
        found[keys.NORMALISED] = (value - floor) / (ceiling - floor) if better else np.nan
    return found
