"""How well unseen perturbations are predicted from each embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core import keys
from pertscope._core.unseen import is_bound
from pertscope.ev._gap_table import BEATS_FLOOR
from pertscope.pl._gap_rows import gap_rows
from pertscope.pl._labels import shortened
from pertscope.pl._modality import modalities, modality_colors, modality_handles
from pertscope.pl._style import (
    axis_label,
    direction,
    end_of_first_row,
    legend_beside,
    panels,
    text_width,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from pertscope.pl._gap_rows import GapRows

PANEL_WIDTH, ROW_HEIGHT, LEGEND_WIDTH = 2.5, 0.26, 1.9
LEAST_HEIGHT = 2.8
"""Inches that the legend needs."""
CEILING = "experimental error"
LINES: dict[str, Any] = {
    "floor": (0, (5, 2)),
    CEILING: "-",
    "idealised": (0, (5, 1.5, 1, 1.5)),
    "random": (0, (2, 1.2)),
    "no_change": (0, (1, 1.6)),
}
"""Dashes of the bounds; colours are the predictions'."""
ABOVE, BELOW = 0.1, 0.28
"""Of the middle of a row, in rows: where folds lie, and where the interval."""
FAR = 0.6
"""A bound farther away than this share of the range of all else is written at the edge."""


def unseen_scores(
    adata: AnnData,
    key: str = "gap_closed",
    *,
    modality: Mapping[str, str] | None = None,
    summary: str = "mean",
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot scores of predictions of unseen perturbations, a panel per combination of covariates.

    Each point is one fold, a tick the score of all conditions, and the bar its interval against the
    floor: that of the difference, for all predictions together, from the floor. Predictions that
    beat the floor, whose bars do not touch its line, are full; others are open and pale. Bounds are
    lines. The best prediction of all conditions is at the top.

    Parameters
    ----------
    adata
        Registered screen that was judged by :func:`pertscope.ev.gap_closed`.
    key
        Key of its table.
    modality
        Prediction, or embedding it was made from -> what this is made of, as ``{"string":
        "interactome"}``, by which predictions are coloured.
    summary
        ``"mean"`` or ``"median"`` over conditions.
    axes
        One Axes per combination of covariates to draw into; by default a new figure.

    Returns
    -------
    The Axes, one per combination of covariates.

    Raises
    ------
    KeyError
        If ``.uns`` has no such table.
    ValueError
        If it is another table or holds only bounds, the summary is unknown, or `axes` are not as
        many as combinations.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, figure 1.

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
    >>> len(ps.pl.unseen_scores(screen))
    1
    """
    found = gap_rows(adata, key, summary)
    names = found.candidates[::-1]  # the best is drawn last, at the top
    of = modalities(names, modality)
    colors = modality_colors(of, modality)
    height = max(ROW_HEIGHT * len(names), LEAST_HEIGHT)
    apart = ROW_HEIGHT * len(names) / height
    drawn = panels(
        len(found.whole),
        axes,
        what="combinations of covariates",
        size=(PANEL_WIDTH, 1.1 + height),
        extra_width=LEGEND_WIDTH + text_width(map(shortened, names)),
        share_y=True,
    )
    lines: dict[str, Any] = {}
    for ax, (name, whole) in zip(drawn, found.whole.items(), strict=True):
        folds = found.folds[name]
        for y, (prediction, modality_name) in enumerate(zip(names, of, strict=True)):
            here = folds[folds[keys.PREDICTION] == prediction]
            row, color = whole.loc[prediction], colors[modality_name]
            heights = y + ABOVE * apart, y - BELOW * apart
            _draw(ax, heights, row, here, color, sign=1 if direction(found.metric) else -1)
        lines |= _bounds(ax, found, whole)
        ax.set_ylim(-0.7, len(names) - 0.3)
        ax.set_yticks(range(len(names)), list(map(shortened, names)), fontsize="small")
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(axis="x", labelsize="small")
        n_better = int(whole.loc[names, BEATS_FLOOR].sum())
        ax.set_title(f"{name}\n{n_better} of {len(names)} beat the floor".strip(), fontsize="small")
        ax.set_xlabel(axis_label(found.metric).replace(" (", "\n("), fontsize="small")
        tidy(ax, grid="x")
    handles = [*modality_handles(colors), *_how_it_is_drawn(found), *lines.values()]
    legend_beside(end_of_first_row(drawn), handles)
    return drawn


def _draw(
    ax: Axes,
    heights: tuple[float, float],
    row: pd.Series,
    folds: pd.DataFrame,
    color: str,
    *,
    sign: int,
) -> None:
    """One prediction: folds, the score of all conditions, and its interval against the floor."""
    better = bool(row[BEATS_FLOOR])
    above, below = heights
    ends = [row[keys.FLOOR] + sign * row[end] for end in ("gain_low", "gain_high")]
    ax.hlines(below, *ends, color=color, lw=2.2, alpha=1 if better else 0.5, zorder=2)
    ax.plot(
        folds[keys.VALUE],
        np.full(len(folds), above),
        "o",
        ms=4,
        color=color if better else "none",
        mec=color,
        mew=0.7,
        alpha=0.9 if better else 0.6,
        zorder=3,
    )
    ax.plot(row[keys.VALUE], below, "|", color=color, ms=7, mew=2, zorder=4)


def _bounds(ax: Axes, found: GapRows, whole: pd.DataFrame) -> dict[str, Any]:
    """Draw the bounds; return what a legend has to say of them."""
    low, high = ax.dataLim.x0, ax.dataLim.x1
    at = {found.floor: whole[keys.FLOOR].iloc[0], CEILING: whole[keys.CEILING].iloc[0]}
    dashes = {found.floor: LINES["floor"], CEILING: LINES[CEILING]}
    for name in whole.index:
        if is_bound(name) and name != found.floor:
            at[name] = whole.loc[name, keys.VALUE]
            kind = name if name in LINES else name.rsplit("_", 1)[-1]
            dashes[name] = LINES.get(kind, LINES["floor"])
    known = {name: float(x) for name, x in at.items() if np.isfinite(x)}
    for name in (found.floor, CEILING):
        if name in known:
            low, high = min(low, known[name]), max(high, known[name])
    room = FAR * (high - low)
    handles: dict[str, Any] = {}
    for name, x in known.items():
        if low - room <= x <= high + room:
            how: dict[str, Any] = {"ls": dashes[name], "color": "0.25", "lw": 1.3, "zorder": 1.5}
            handles[name] = ax.axvline(x, label=name, **how)
            continue
        right = x > high
        text = f"{name}: {x:.3g} →" if right else f"← {name}: {x:.3g}"
        edge: dict[str, Any] = {"ha": "right" if right else "left", "va": "bottom", "zorder": 5}
        edge["bbox"] = {"fc": "white", "ec": "none", "pad": 0.5}
        how = {"transform": ax.transAxes, "fontsize": "x-small", "color": "0.35"}
        ax.text(float(right), 0.005, text, **how, **edge)
    ax.margins(x=0.08)
    return handles


def _how_it_is_drawn(found: GapRows) -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(marker: str, label: str, **how: Any) -> Line2D:
        return Line2D([], [], marker=marker, color="0.45", ls="", label=label, **how)

    marks = [mark("|", "all conditions", ms=7, mew=2)]
    if any(len(rows) for rows in found.folds.values()):
        marks = [
            mark("o", "fold", ms=4),
            mark("o", "fold, where the floor\nis not beaten", ms=4, mfc="none"),
            *marks,
        ]
    bar = Line2D([], [], color="0.45", lw=2.2, label="interval against\nthe floor")
    return [*marks, bar]
