"""Results of a benchmark: models side by side, or over the levels of a scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.messages import listed, nearest
from pertscope.bench import read, table
from pertscope.pl._scores import BOUND_LINES, LEGEND_WIDTH, PANEL_WIDTH, ROW_HEIGHT
from pertscope.pl._style import (
    BLUE,
    CHANCE_LINE,
    RANDOM_RANK,
    better,
    end_of_first_row,
    is_rank,
    legend_beside,
    line_styles,
    metric_title,
    panels,
    text_width,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

MAX_PANELS = 8
CURVE_SIZE = (3.2, 2.8)
SCALE = {"scaling": ("train_cells", "perturbed cells in train"), "imbalance": ("imbalance",) * 2}
BOUNDS = (keys.FLOOR, keys.CEILING)


def benchmark(
    results: Path | str | pd.DataFrame,
    *,
    task: str | None = None,
    metrics: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot what :func:`pertscope.bench.run` found, one panel per metric.

    Of one task: the mean of each model over seeds, its standard deviation as a bar, and each seed
    as a point, the best model of the first metric at the top. Of several tasks of one scenario:
    scores against the cells there were to learn from, or the imbalance, a line through the means
    of each model and a point per seed. Floor (the best uninformed guess), ceiling (a replicate of
    the experiment) and the rank of a random prediction are lines without points.

    Parameters
    ----------
    results
        Folder of results, or what :func:`pertscope.bench.run` or :func:`~pertscope.bench.read`
        returned.
    task
        Name of a task, or dataset and scenario, ``"mcfaline23-scaling"``; needed where the results
        are of several.
    metrics
        Names of the metrics to draw; the first eight by default.
    models
        Names of the models to draw, the first at the top; all by default.
    axes
        One Axes per metric to draw into; by default a new figure.

    Returns
    -------
    The Axes, one per metric.

    Raises
    ------
    FileNotFoundError
        If the folder holds no results.
    KeyError
        If there is no such task, metric or model.
    ValueError
        If nothing says which of several tasks to draw, there is nothing to draw, or `axes` are not
        as many as metrics.

    References
    ----------
    Wu et al., PerturBench (2024), figures 3 and C.1.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> rows = [
    ...     (m, "model", s, "rmse_mean", i + s / 9, "") for i, m in enumerate("ab") for s in (0, 1)
    ... ]
    >>> scores = pd.DataFrame(rows, columns=["model", "kind", "seed", "metric", "value", "error"])
    >>> len(ps.pl.benchmark(scores.assign(task="mine", scenario="", train_cells=10)))
    1
    """
    rows = results if isinstance(results, pd.DataFrame) else read(results)
    rows = _of_task(rows, task)
    if (rows["error"] != "").all():
        raise ValueError(f"no model has a score: {rows['error'].iloc[0]}")
    whole = table(rows, metrics=metrics, models=models)
    shown = [m for m in whole.columns.get_level_values(0).unique() if m != "seeds"]
    shown = shown if metrics is not None else shown[:MAX_PANELS]
    rows = rows[(rows["error"] == "") & rows["model"].isin(whole.index.get_level_values("model"))]
    if len(rows["task"].unique()) > 1:
        return _curves(rows, whole, shown, axes)
    return _side_by_side(rows, whole, shown, axes)


def _of_task(rows: pd.DataFrame, task: str | None) -> pd.DataFrame:
    """Rows of one task, or of the tasks of one scenario."""
    tasks = list(rows["task"].unique())
    if len(tasks) == 1 and task is None:
        return rows
    of = (rows["dataset"] + "-" + rows["scenario"]).where(rows["scenario"] != "", rows["task"])
    if task is None and len(of.unique()) > 1:
        raise ValueError(
            f"the results are of several tasks: draw one, `task={of.iloc[0]!r}`; there are "
            f"{listed(dict.fromkeys([*of, *tasks]))}."
        )
    if task is None:
        return rows
    found = rows[(rows["task"] == task) | (of == task)]
    if found.empty:
        raise KeyError(f"no results of task {task!r}; {nearest(task, {*of, *tasks})}.")
    return found


def _side_by_side(
    rows: pd.DataFrame, whole: pd.DataFrame, shown: Sequence[str], axes: Sequence[Axes] | None
) -> list[Axes]:
    models = whole.drop(index=list(BOUNDS), errors="ignore").iloc[::-1]
    drawn = panels(
        len(shown),
        axes,
        what="metrics",
        size=(PANEL_WIDTH, 1.1 + ROW_HEIGHT * len(models)),
        extra_width=LEGEND_WIDTH + text_width(models.index),
        share_y=True,
    )
    handles: dict[str, Any] = {}
    y = np.arange(len(models))
    for ax, metric in zip(drawn, shown, strict=True):
        handles |= _bounds(ax, whole, metric)
        of_seeds = rows[(rows["metric"] == metric) & rows["model"].isin(models.index)]
        places = models.index.get_indexer(of_seeds["model"])
        mean, sd = models[metric, "mean"], models[metric, "sd"]
        handles["seed"] = ax.plot(
            of_seeds["value"], places, "|", color="0.45", ms=8, label="seed", zorder=2
        )[0]
        label = "mean and s.d."
        handles[label] = ax.errorbar(
            mean, y, xerr=sd, fmt="o", color=BLUE, ms=5, lw=1.5, label=label, zorder=3
        )
        for at, name in enumerate(models.index):
            if np.isnan(mean[name]) and models.loc[name, ("seeds", "failed")]:
                ax.text(0.5, at, "failed", transform=ax.get_yaxis_transform(), va="center",
                        ha="center", fontsize="small", color="0.45")  # fmt: skip
        ax.set_yticks(y, models.index)
        ax.set_ylim(-0.6, len(models) - 0.4)
        ax.margins(x=0.08)
        ax.locator_params(axis="x", nbins=3)
        ax.tick_params(axis="x", labelsize="small")
        ax.set_title(metric_title(metric), fontsize="small")
        ax.set_xlabel(better(metric), fontsize="small", color="0.35")
        tidy(ax, grid="x")
    legend_beside(end_of_first_row(drawn), list(handles.values()))
    return drawn


def _bounds(ax: Axes, whole: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Draw floor, ceiling and chance; return what a legend has to say of them."""
    handles: dict[str, Any] = {}
    if is_rank(metric):
        handles["random"] = ax.axvline(RANDOM_RANK, label="random", **CHANCE_LINE)
        ax.set_xlim(-0.05, 1.05)
    for bound, how in BOUND_LINES.items():
        if bound in whole.index and not np.isnan(at := whole.loc[bound, (metric, "mean")]):
            handles[bound] = ax.axvline(at, label=bound, zorder=1.5, **how)
    return handles


def _curves(
    rows: pd.DataFrame, whole: pd.DataFrame, shown: Sequence[str], axes: Sequence[Axes] | None
) -> list[Axes]:
    column, label = SCALE[rows["scenario"].iloc[0]]
    names = [n for n in whole.index.get_level_values("model").unique() if n not in BOUNDS]
    grey = {"color": "0.45", "lw": 1.4, "zorder": 1.5}  # colours are the models'
    styles = line_styles(sorted(names)) | {b: {**BOUND_LINES[b], **grey} for b in BOUNDS}
    drawn = panels(
        len(shown),
        axes,
        what="metrics",
        size=CURVE_SIZE,
        extra_width=LEGEND_WIDTH + text_width(names),
    )
    levels = rows.groupby("task")[column].mean().sort_values()
    handles: dict[str, Any] = {}
    for ax, metric in zip(drawn, shown, strict=True):
        for name in [*names, *BOUNDS]:
            here = rows[(rows["metric"] == metric) & (rows["model"] == name)]
            if here["value"].notna().any():
                mean = here.groupby("task")["value"].mean().reindex(levels.index)
                at = ax.plot(levels, mean, label=name, **styles[name])[0]
                handles.setdefault(name, at)
                if name not in BOUNDS:
                    x = here["task"].map(levels)
                    ax.plot(x, here["value"], ".", color=styles[name]["color"], ms=5, alpha=0.6)
        if is_rank(metric):
            handles["random"] = ax.axhline(RANDOM_RANK, label="random", **CHANCE_LINE)
        ax.set_xlabel(label)
        ax.set_title(metric_title(metric), fontsize="small")
        ax.set_ylabel(better(metric), fontsize="small", color="0.35")
        if column == "train_cells":
            ax.set_xscale("log")
        ax.set_xticks(levels, [_number(v) for v in levels])
        ax.minorticks_off()
        tidy(ax, grid="y")
    legend_beside(end_of_first_row(drawn), list(handles.values()))
    return drawn


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"
