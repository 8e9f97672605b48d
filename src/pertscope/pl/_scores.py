"""Scores of all predictions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core import keys
from pertscope.get import scores as get_scores
from pertscope.pl._style import (
    BLUE,
    CHANCE_LINE,
    GREEN,
    RANDOM_RANK,
    VERMILION,
    better,
    direction,
    end_of_first_row,
    is_rank,
    legend_beside,
    metric_title,
    panels,
    text_width,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

PANEL_WIDTH, ROW_HEIGHT, LEGEND_WIDTH = 2.1, 0.32, 1.0
MAX_PANELS = 8
PREFERRED = (
    "rmse_mean",
    "cosine_effect",
    "cosine_logfc",
    "pearson_effect",
    "overlap_at_N_t-test",
    "energy_distance_pca",
)
BOUND_LINES: dict[str, dict[str, Any]] = {
    keys.CEILING: {"color": GREEN, "ls": "-", "lw": 1.6},
    keys.FLOOR: {"color": VERMILION, "ls": (0, (4, 2)), "lw": 1.4},
}


def scores(
    adata: AnnData,
    *,
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the mean score of every prediction, one panel per metric.

    Points are means over conditions, bars their bootstrap intervals. Predictions are sorted by the
    first metric, best at the top. A dotted line marks the rank of a random prediction; after
    :func:`pertscope.ev.evaluate` a dashed line marks the floor (the best guess that knows nothing
    of the perturbation) and a solid one the ceiling (the experiment done again), each over the
    conditions of the prediction whose row it crosses.

    Parameters
    ----------
    adata
        Registered screen that was judged by ``ps.ev`` functions.
    metrics
        Names as in :func:`pertscope.get.scores`; by default all if there are at most eight; of
        more the RMSE of means, similarities of effects, common top genes, energy distance, ranks.
    confidence
        Coverage of the intervals.
    axes
        One Axes per metric to draw into; by default a new figure.

    Returns
    -------
    The Axes, one per metric.

    Raises
    ------
    KeyError
        If nothing was judged yet, or there is no such metric.
    ValueError
        If `axes` are not as many as metrics, or no metric is named.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> models = ps.tl.fit_no_change(adata), ps.tl.fit_mean_effect(adata)
    >>> ps.ev.error_metrics(adata, metrics=["rmse"], statistics=["mean"])
    >>> len(ps.pl.scores(adata))
    1
    """
    if metrics is not None and not len(metrics):
        raise ValueError("`metrics` is empty: name at least one, or leave it out.")
    table = get_scores(adata, metrics=metrics, confidence=confidence)
    shown = list(metrics) if metrics is not None else _default(table["mean"].columns.tolist())
    table = table.loc[_worst_first(table["mean"][shown[0]], shown[0])]
    drawn = panels(
        len(shown),
        axes,
        what="metrics",
        size=(PANEL_WIDTH, 1.1 + ROW_HEIGHT * len(table)),
        extra_width=LEGEND_WIDTH + text_width(table.index),
        share_y=True,
    )
    handles: dict[str, Any] = {}
    for ax, metric in zip(drawn, shown, strict=True):
        handles |= _draw(ax, table, metric)
    if len(handles) > 1:
        legend_beside(end_of_first_row(drawn), list(handles.values()))
    return drawn


def _draw(ax: Axes, table: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Draw one panel; return what a legend has to say of it."""
    y = np.arange(len(table))
    mean, low, high = (table[q][metric].to_numpy() for q in ("mean", "ci_low", "ci_high"))
    handles: dict[str, Any] = {}
    if is_rank(metric):
        handles["random"] = ax.axvline(RANDOM_RANK, label="random", **CHANCE_LINE)
        ax.set_xlim(-0.05, 1.05)
    for bound, how in BOUND_LINES.items():
        if bound in table and table[bound][metric].notna().any():
            at = np.repeat(table[bound][metric].to_numpy(), 2)
            heights = np.stack([y - 0.5, y + 0.5], axis=1).ravel()
            handles[bound] = ax.plot(at, heights, label=bound, zorder=1.5, **how)[0]
    ax.hlines(y, low, high, color=BLUE, lw=1.5, zorder=2)
    label = "mean and interval"
    handles[label] = ax.plot(mean, y, "o", color=BLUE, ms=5, label=label, zorder=3)[0]
    ax.set_yticks(y, table.index)
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.margins(x=0.08)
    ax.locator_params(axis="x", nbins=3)
    ax.tick_params(axis="x", labelsize="small")
    ax.set_title(metric_title(metric), fontsize="small")
    ax.set_xlabel(better(metric), fontsize="small", color="0.35")
    tidy(ax, grid="x")
    return handles


def _worst_first(values: pd.Series, metric: str) -> pd.Index:
    """Predictions from the worst to the best, which is drawn at the top."""
    higher = direction(metric)
    if higher is None:
        return values.index[::-1]
    best_first = values.sort_values(ascending=not higher, na_position="last", kind="stable")
    return best_first.index[::-1]


def _default(metrics: list[str]) -> list[str]:
    """Few enough to read: of each kind the best known, then ranks."""
    if len(metrics) <= MAX_PANELS:
        return metrics
    ranks = sorted((m for m in metrics if is_rank(m)), key=lambda m: "transposed" in m)
    chosen = ([m for m in PREFERRED if m in metrics] + ranks)[:MAX_PANELS]
    return [m for m in metrics if m in chosen] or metrics[:MAX_PANELS]
