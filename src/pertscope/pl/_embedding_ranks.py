"""Which embedding is best most of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.unseen import is_bound
from pertscope.ev._gap_table import RANK
from pertscope.pl._gap_rows import gap_rows
from pertscope.pl._labels import shortened
from pertscope.pl._modality import (
    OTHER_COLOR,
    modalities,
    modality_colors,
    modality_handles,
)
from pertscope.pl._style import legend_beside, one_axes, text_width, tidy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from matplotlib.axes import Axes

ROW_HEIGHT, JITTER = 0.24, 0.18
LEAST_HEIGHT = 2.4
"""Inches that the legend needs."""


def embedding_ranks(
    adata: AnnData,
    key: str = "gap_closed",
    *,
    modality: Mapping[str, str] | None = None,
    summary: str = "mean",
    ax: Axes | None = None,
) -> Axes:
    """Plot the ranks of predictions over folds and combinations of covariates.

    A point is the rank of a prediction in one fold of one combination of covariates, 1 for the
    best; a box goes over the middle half of them, a line marks the median. Bounds are grey. The
    smallest median, then mean, is at the top. What was not ranked in all of them, since it was not
    judged on the same conditions, is left out.

    Parameters
    ----------
    adata
        Registered screen that was judged by :func:`pertscope.ev.gap_closed`.
    key
        Key of its table.
    modality
        Prediction, or embedding it was made from -> what this is made of, by which boxes are
        coloured.
    summary
        Whether ranks are those of the ``"mean"`` or of the ``"median"`` over conditions.
    ax
        Axes to draw into; by default a new figure.

    Returns
    -------
    The Axes.

    Raises
    ------
    KeyError
        If ``.uns`` has no such table.
    ValueError
        If it is another table or holds only bounds, or the summary is unknown.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, figure 2.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> cells = ps.datasets.simulate_screen(n_perturbations=12, n_genes=50, seed=0)
    >>> ps.pp.register(cells)
    >>> ps.pp.normalize(cells)
    >>> screen = ps.tl.effects(cells)
    >>> genes = sorted(set(screen.obs["perturbation"]) - {"control"})
    >>> table = pd.DataFrame({"number": range(12)}, index=genes)
    >>> ps.pp.add_perturbation_embedding(screen, table, "number")  # doctest: +ELLIPSIS
    number: ...
    >>> ps.tl.cross_validate(screen, "knn", "number", bounds=["train_mean"], n_neighbors=[3])
    >>> ps.ev.error_metrics(screen, statistics=["effect"], metrics=["l2"], split=None)
    >>> ps.ev.gap_closed(screen, ceiling=None)  # doctest: +ELLIPSIS
    l2_effect: ...
    >>> ps.pl.embedding_ranks(screen).get_xlabel().splitlines()
    ['rank in 5 folds, 1 is best', 'l2_effect']
    """
    found = gap_rows(adata, key, summary)
    rows = pd.concat(
        [f if len(f) else found.whole[name].reset_index() for name, f in found.folds.items()]
    )
    ranks = rows.groupby(keys.PREDICTION)[RANK].apply(np.asarray)
    ranks = ranks.map(lambda r: r[~np.isnan(r)])
    ranks = ranks[ranks.map(len) == ranks.map(len).max()]
    order = pd.DataFrame({"median": ranks.map(np.median), "mean": ranks.map(np.mean)})
    names = list(order.sort_values(["median", "mean"], ascending=False, kind="stable").index)
    of = modalities(names, modality)
    candidates = set(found.candidates)
    colors = modality_colors(
        [m for n, m in zip(names, of, strict=True) if n in candidates], modality
    )

    size = (
        4.6 + text_width(map(shortened, names)),
        max(1.0 + ROW_HEIGHT * len(names), LEAST_HEIGHT),
    )
    ax = one_axes(ax, size)
    rng = np.random.default_rng(0)
    for y, (name, modality_name) in enumerate(zip(names, of, strict=True)):
        bound = is_bound(name) or name == found.floor
        color = OTHER_COLOR if bound else colors[modality_name]
        low, middle, high = np.quantile(ranks[name], [0.25, 0.5, 0.75])
        ax.barh(y, high - low, 0.62, left=low, color=color, alpha=0.35, zorder=2)
        ax.plot([middle, middle], [y - 0.31, y + 0.31], color=color, lw=2.2, zorder=3)
        scattered = y + rng.uniform(-JITTER, JITTER, len(ranks[name]))
        ax.plot(ranks[name], scattered, "o", ms=2.6, color=color, alpha=0.7, mew=0, zorder=4)
    ax.set_yticks(range(len(names)), list(map(shortened, names)), fontsize="small")
    for label, name in zip(ax.get_yticklabels(), names, strict=True):
        label.set_color("0.45" if is_bound(name) or name == found.floor else "black")
    ax.set_ylim(-0.7, len(names) - 0.3)
    ax.set_xlim(0.4, len(names) + 0.6)
    ax.locator_params(axis="x", integer=True)
    n = int(ranks.map(len).max())
    contexts = len(found.whole)
    what = "folds" if contexts == 1 else f"folds of {contexts} combinations of covariates"
    ax.set_xlabel(f"rank in {n} {what}, 1 is best\n{found.metric}")
    tidy(ax, grid="x")
    handles = modality_handles(colors)
    if handles:
        legend_beside(ax, handles)
    return ax
