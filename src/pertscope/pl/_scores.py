"""Scores of all predictions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.ev._metrics import higher_is_better
from pertscope.get import scores as get_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

# Okabe and Ito's blue: readable for the colour-blind and in grey
POINT, CHANCE = "#0072B2", "#D55E00"
PANEL_WIDTH, ROW_HEIGHT = 2.1, 0.32
RANDOM_RANK = 0.5


def scores(
    adata: AnnData,
    *,
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the mean score of every prediction, one panel per metric.

    Points are means over conditions, bars their bootstrap intervals. Predictions are sorted by the
    first metric, best at the top; a dashed line marks the rank of a random prediction.

    Parameters
    ----------
    adata
        Registered screen that was judged by ``ps.ev`` functions.
    metrics
        Names as in :func:`pertscope.get.scores`; by default the RMSE of means, the cosine of
        effects and of logfc, and all ranks.
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
        If `axes` are not as many as metrics.

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
    import matplotlib.pyplot as plt

    table = get_scores(adata, metrics=metrics, confidence=confidence)
    shown = list(metrics) if metrics is not None else _default(table["mean"].columns.tolist())
    first = table["mean"][shown[0]]
    order = first.sort_values(ascending=not higher_is_better(shown[0]), na_position="last").index
    table = table.loc[order[::-1]]
    height = 1.1 + ROW_HEIGHT * len(table)
    if axes is None:
        _, grid = plt.subplots(
            1,
            len(shown),
            figsize=(1.2 + PANEL_WIDTH * len(shown), height),
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        axes = list(grid[0])
    if len(axes) != len(shown):
        raise ValueError(f"`axes` holds {len(axes)} Axes for {len(shown)} metrics.")
    y = np.arange(len(table))
    for ax, metric in zip(axes, shown, strict=True):
        mean, low, high = (table[q][metric].to_numpy() for q in ("mean", "ci_low", "ci_high"))
        if "rank" in metric:
            ax.axvline(RANDOM_RANK, color=CHANCE, ls="--", lw=1, zorder=0)
            ax.set_xlim(-0.05, 1.05)
        ax.hlines(y, low, high, color=POINT, lw=1.5)
        ax.plot(mean, y, "o", color=POINT, ms=5)
        ax.set_yticks(y, table.index)
        ax.set_ylim(-0.6, len(table) - 0.4)
        ax.locator_params(axis="x", nbins=4)
        arrow = "higher is better" if higher_is_better(metric) else "lower is better"
        ax.set_title("\n".join(metric.rsplit("_", 1)), fontsize="small")
        ax.set_xlabel(arrow, fontsize="small", color="0.35")
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    return list(axes)


def _default(metrics: list[str]) -> list[str]:
    """Few enough to read: RMSE of means, similarity of effects, and all ranks."""
    preferred = [m for m in ("rmse_mean", "cosine_effect", "cosine_logfc") if m in metrics]
    ranks = [m for m in metrics if "rank" in m]
    return preferred + ranks or metrics[:6]

