"""Model x metric, over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pertscope._core.messages import nearest
from pertscope.bench._models import CEILING, FLOOR, MODEL
from pertscope.bench._read import read
from pertscope.ev._metrics import higher_is_better

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SEEDS = "seeds"
BOUNDS = (FLOOR, CEILING)


def table(
    results: Path | str | pd.DataFrame,
    *,
    metrics: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Tabulate mean and standard deviation over seeds, models x metrics.

    Parameters
    ----------
    results
        Folder of results, or what :func:`pertscope.bench.run` or :func:`~pertscope.bench.read`
        returned.
    metrics
        Names of the metrics to keep, in this order; all by default.
    models
        Names of the models to keep, in this order; by default all, the best of the first metric
        first. Floor and ceiling come last.

    Returns
    -------
    One row per model, or per task and model where there are several tasks, with floor and ceiling.
    Columns have two levels: the metric, and ``mean`` and ``sd`` (float64; that of a single seed is
    NaN); before them ``("seeds", "done")`` and ``("seeds", "failed")`` (int64).

    Raises
    ------
    FileNotFoundError
        If the folder holds no results.
    KeyError
        If there is no such metric or model.

    References
    ----------
    Wu et al., PerturBench (2024), tables 2 to 4.

    Examples
    --------
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> rows = [("a", "model", s, "rmse_mean", 1.0 + s, "") for s in range(3)]
    >>> scores = pd.DataFrame(rows, columns=["model", "kind", "seed", "metric", "value", "error"])
    >>> found = ps.bench.table(scores.assign(task="mine", scenario="", train_cells=10))
    >>> found.loc["a", "rmse_mean"].tolist()
    [2.0, 1.0]
    """
    rows = results if isinstance(results, pd.DataFrame) else read(results)
    scored = rows[rows["error"] == ""]
    known = [*scored["metric"].unique()]
    shown = _chosen(metrics, known, "metric")
    names = [*rows.loc[rows["kind"] == MODEL, "model"].unique()]
    wanted = [*_chosen(models, names, "model"), *(b for b in BOUNDS if b in set(rows["model"]))]
    parts = {
        task: _of_task(part, shown, wanted, best_first=models is None)
        for task, part in rows.groupby("task")
    }
    in_order = sorted(parts, key=lambda task: _place(rows[rows["task"] == task]))
    if len(parts) == 1:
        return parts[in_order[0]]
    return pd.concat({task: parts[task] for task in in_order}, names=["task", "model"])


def _of_task(
    rows: pd.DataFrame, metrics: Sequence[str], models: Sequence[str], *, best_first: bool
) -> pd.DataFrame:
    models = [m for m in models if m in set(rows["model"])]
    scored = rows[rows["error"] == ""]
    mean, sd = (
        scored.pivot_table("value", "model", "metric", aggfunc=how, dropna=False).reindex(
            index=models, columns=metrics
        )
        for how in ("mean", "std")
    )
    runs = rows.drop_duplicates(["model", "seed"])
    failed = (runs["error"] != "").groupby(runs["model"])
    columns = {
        (SEEDS, "done"): (failed.size() - failed.sum()).reindex(models),
        (SEEDS, "failed"): failed.sum().reindex(models),
    }
    for metric in metrics:
        columns |= {(metric, "mean"): mean[metric], (metric, "sd"): sd[metric]}
    made = pd.DataFrame(columns, index=pd.Index(models, name="model"))
    made = made.astype({key: "int64" for key in columns if key[0] == SEEDS})
    made.columns.names = ["metric", None]
    if not best_first or not metrics:
        return made
    bounds = [m for m in models if m in BOUNDS]
    rising = higher_is_better(metrics[0]) is not True
    ranked = made.drop(index=bounds).sort_index()
    ranked = ranked.sort_values((metrics[0], "mean"), ascending=rising, kind="stable")
    return pd.concat([ranked, made.loc[bounds]])


def _chosen(wanted: Sequence[str] | None, known: Sequence[str], what: str) -> list[str]:
    for name in wanted or ():
        if name not in known:
            raise KeyError(f"no results of {what} {name!r}; {nearest(name, known)}.")
    return list(known if wanted is None else wanted)


def _place(rows: pd.DataFrame) -> tuple[str, float, str]:
    """Tasks of one scenario lie side by side, the smallest first."""
    return rows["scenario"].iloc[0], rows["train_cells"].mean(), rows["task"].iloc[0]
