"""Ranks of single conditions, prediction by prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.pl._condition_scores import condition_scores
from pertscope.pl._style import (
    BLUE,
    CHANCE_LINE,
    RANDOM_RANK,
    VERMILION,
    axis_label,
    direction,
    is_rank,
    legend_beside,
    one_axes,
    text_width,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

ROW_HEIGHT, JITTER = 0.36, 0.26


def rank_distribution(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    metric: str = "rmse_rank_mean",
    ax: Axes | None = None,
) -> Axes:
    """Plot how the ranks of every prediction spread over conditions.

    One point per condition, a bar over the middle half of them, the median and the mean.
    Predictions are sorted by their mean, best at the top. Random predictions have ranks that are
    uniform from 0 to 1: half of theirs lie in the shaded range. A model that predicts the same for
    every perturbation has rank 0.5 for each.

    Parameters
    ----------
    adata
        Registered screen that was judged by :func:`pertscope.ev.rank_metrics` or
        :func:`pertscope.ev.evaluate`.
    predictions
        Names of the predictions to show; all by default.
    metric
        Name of a rank or discrimination score, such as ``"cosine_transposed_rank_logfc"``.
    ax
        Axes to draw into; by default a new figure.

    Returns
    -------
    The Axes.

    Raises
    ------
    KeyError
        If nothing was judged yet, or the metric or a prediction was not.
    ValueError
        If the metric is no rank.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=20, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> models = ps.tl.fit_no_change(adata), ps.tl.fit_additive(adata)
    >>> ps.ev.rank_metrics(adata)
    >>> ax = ps.pl.rank_distribution(adata)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['no_change', 'additive']
    """
    scores = condition_scores(adata, metric, predictions)
    if not is_rank(metric):
        raise ValueError(f"{metric!r} is no rank: choose one such as 'rmse_rank_mean'.")
    mean = scores.mean()
    worst_first = mean if direction(metric) else -mean
    scores = scores[worst_first.sort_values(na_position="first", kind="stable").index]
    n = scores.shape[1]
    low, median, high = scores.quantile([0.25, 0.5, 0.75]).to_numpy()
    ranks = scores.to_numpy()
    y = np.arange(n)
    scattered = y + np.random.default_rng(0).uniform(-JITTER, JITTER, ranks.shape)
    size = 10 if len(ranks) < 100 else 5

    ax = one_axes(ax, (5.2 + text_width(scores.columns), 1.1 + ROW_HEIGHT * max(n, 3)))
    ax.axvspan(0.25, 0.75, color="0.95", zorder=0, label="random: middle half")
    ax.axvline(RANDOM_RANK, **CHANCE_LINE, label="random: median")
    ax.scatter(ranks, scattered, s=size, color="0.45", alpha=0.5, lw=0, label="condition")
    ax.hlines(y, low, high, color=BLUE, lw=5, alpha=0.5, label="middle half", zorder=2)
    ax.plot(median, y, "|", color=BLUE, ms=13, mew=2.2, label="median")
    ax.plot(scores.mean(), y, "D", color=VERMILION, ms=4.5, mec="white", mew=0.6, label="mean")
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(-0.6, n - 0.4)
    ax.set_yticks(y, list(scores.columns))
    ax.set_xlabel(axis_label(metric))
    tidy(ax)
    legend_beside(ax)
    return ax
