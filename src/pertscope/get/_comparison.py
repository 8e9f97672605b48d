"""Is one prediction better than another?"""

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


def comparison(
    adata: AnnData,
    first: str,
    second: str,
    *,
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two predictions over the conditions that both have, by the paired bootstrap.

    The difference of scores of a condition, first minus second, leaves out how hard the condition
    is; its mean is resampled over conditions. An interval without 0 is a difference that other
    conditions of the same kind would show as well.

    Parameters
    ----------
    adata
        Registered screen that was judged by ``ps.ev`` functions.
    first, second
        Names of the predictions.
    metrics
        Names such as ``["rmse_mean"]``; all that both have by default.
    confidence
        Coverage of the intervals.
    seed
        Seed of the bootstrap.

    Returns
    -------
    One row per metric: ``difference`` (mean of first minus second), ``ci_low``, ``ci_high``,
    ``share_larger`` and ``share_smaller`` (of conditions in which the first has the larger, or the
    smaller, score; float64) and ``n_conditions`` (int64).

    Raises
    ------
    KeyError
        If nothing was judged yet, a prediction was not, or not both by such a metric.
    ValueError
        If `confidence` does not lie between 0 and 1.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> models = ps.tl.fit_no_change(adata), ps.tl.fit_additive(adata)
    >>> ps.ev.error_metrics(adata, metrics=["rmse"], statistics=["mean"])
    >>> table = ps.get.comparison(adata, "additive", "no_change")
    >>> table.index.tolist()
    ['rmse_mean']
    """
    screen = Screen.of(adata)
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence`={confidence} must lie between 0 and 1.")
    table = score_tables(adata)
    table = table.assign(metric=table[keys.METRIC] + "_" + table[keys.STATISTIC])
    judged = table[keys.PREDICTION].unique()
    for name in (first, second):
        if name not in judged:
            raise KeyError(f"prediction {name!r} was not judged; {nearest(name, judged)}.")
    where = [keys.METRIC, *screen.covariate_keys, keys.PERTURBATION]
    table[where] = table[where].astype(str)
    both = [
        table[table[keys.PREDICTION] == name].drop_duplicates(where, keep="last").set_index(where)
        for name in (first, second)
    ]
    difference = (both[0][keys.VALUE] - both[1][keys.VALUE]).dropna()
    of_each = [scores.index.unique(level=0) for scores in both]
    known = [m for m in of_each[0] if m in of_each[1]]
    if not known:
        raise KeyError(f"predictions {first!r} and {second!r} were judged by no common metric.")
    for metric in metrics or ():
        if metric not in known:
            raise KeyError(f"no scores of {metric!r} for both; {nearest(metric, known)}.")
    rows = {}
    for metric in known if metrics is None else metrics:
        gap = difference[difference.index.get_level_values(0) == metric].to_numpy(dtype=float)
        mean, low, high, n = bootstrap_interval(gap, confidence=confidence, seed=seed)
        rows[metric] = {
            "difference": mean,
            "ci_low": low,
            "ci_high": high,
            "share_larger": np.mean(gap > 0) if n else np.nan,
            "share_smaller": np.mean(gap < 0) if n else np.nan,
            "n_conditions": n,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(keys.METRIC)
