"""How much of what could be learned each prediction has learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope.ev._gap_table import BEATS_FLOOR, GAP_CLOSED
from pertscope.pl._gap_rows import gap_rows
from pertscope.pl._labels import shortened
from pertscope.pl._modality import modalities, modality_colors, modality_handles
from pertscope.pl._style import end_of_first_row, legend_beside, panels, text_width, tidy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

PANEL_WIDTH, ROW_HEIGHT, LEGEND_WIDTH = 2.3, 0.24, 1.7
LEAST_HEIGHT = 2.9
"""Inches that the legend needs."""
FARTHEST = (-100.0, 200.0)
"""Per cent: what lies beyond is written at the edge."""


def gap_closed(
    adata: AnnData,
    key: str = "gap_closed",
    *,
    modality: Mapping[str, str] | None = None,
    summary: str = "mean",
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the share of the gap between floor and ceiling that predictions close.

    A panel per combination of covariates, a bar with its interval per prediction: 0 is the floor,
    100 % the experimental error. Predictions that do not beat the floor convincingly are pale. The
    best prediction of all conditions is at the top.

    Parameters
    ----------
    adata
        Registered screen that was judged by :func:`pertscope.ev.gap_closed`, with a ceiling.
    key
        Key of its table.
    modality
        Prediction, or embedding it was made from -> what this is made of, by which bars are
        coloured.
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
        If it is another table, has no ceiling or only bounds, the summary is unknown, or `axes` are
        not as many as combinations.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, section 2.1.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> cells = ps.datasets.simulate_screen(n_perturbations=12, n_genes=50, seed=0)
    >>> ps.pp.register(cells)
    >>> ps.pp.normalize(cells)
    >>> ps.ev.ceiling(cells, metrics=["l2_effect"], method="bootstrap")
    >>> screen = ps.tl.effects(cells)
    >>> genes = sorted(set(screen.obs["perturbation"]) - {"control"})
    >>> table = pd.DataFrame({"number": range(12)}, index=genes)
    >>> ps.pp.add_perturbation_embedding(screen, table, "number")  # doctest: +ELLIPSIS
    number: ...
    >>> ps.tl.cross_validate(screen, "knn", "number", bounds=["train_mean"], n_neighbors=[3])
    >>> ps.ev.error_metrics(screen, statistics=["effect"], metrics=["l2"], split=None)
    >>> ps.ev.gap_closed(screen, ceiling=cells.uns["ceiling"])  # doctest: +ELLIPSIS
    l2_effect: ...
    >>> len(ps.pl.gap_closed(screen))
    1
    """
    found = gap_rows(adata, key, summary)
    if all(whole[GAP_CLOSED].isna().all() for whole in found.whole.values()):
        raise ValueError(
            f"`.uns[{key!r}]` has no gap: give `ps.ev.gap_closed` a `ceiling` that is better than "
            "the floor."
        )
    names = found.candidates[::-1]  # the best is drawn last, at the top
    of = modalities(names, modality)
    colors = modality_colors(of, modality)
    drawn = panels(
        len(found.whole),
        axes,
        what="combinations of covariates",
        size=(PANEL_WIDTH, max(1.1 + ROW_HEIGHT * len(names), LEAST_HEIGHT)),
        extra_width=LEGEND_WIDTH + text_width(map(shortened, names)),
        share_y=True,
    )
    y = np.arange(len(names))
    for ax, (name, whole) in zip(drawn, found.whole.items(), strict=True):
        rows = whole.loc[names]
        share = 100 * rows[GAP_CLOSED].to_numpy()
        bars = ax.barh(y, np.nan_to_num(share), 0.7, color=[colors[m] for m in of], zorder=2)
        for bar, better in zip(bars, rows[BEATS_FLOOR], strict=True):
            bar.set_alpha(1 if better else 0.35)
        ax.hlines(y, 100 * rows["ci_low"], 100 * rows["ci_high"], color="0.2", lw=1.1, zorder=3)
        for at, value in enumerate(share):
            _say_what_is_not_drawn(ax, at, value)
        ax.axvline(0, color="0.25", lw=1, zorder=4)
        ax.axvline(100, color="0.25", lw=1.3, ls=(0, (5, 2)), zorder=4)
        ax.set_xlim(*_limits(share, rows["ci_low"], rows["ci_high"]))
        ax.set_yticks(y, list(map(shortened, names)), fontsize="small")
        ax.set_ylim(-0.7, len(names) - 0.3)
        ax.locator_params(axis="x", nbins=5)
        ax.tick_params(axis="x", labelsize="small")
        ax.set_title(name, fontsize="small")
        ax.set_xlabel(f"gap closed [%]\n{summary} {found.metric}", fontsize="small")
        tidy(ax, grid="x")
    legend_beside(end_of_first_row(drawn), [*modality_handles(colors), *_marks(found.floor)])
    return drawn


def _say_what_is_not_drawn(ax: Axes, y: int, share: float) -> None:
    how: dict[str, Any] = {"va": "center", "fontsize": "x-small", "color": "0.2", "zorder": 5}
    if np.isnan(share):
        ax.text(0, y, " no gap", **how)
    elif share < FARTHEST[0]:
        ax.text(FARTHEST[0], y, f"← {share:.0f} %", ha="left", **how)
    elif share > FARTHEST[1]:
        ax.text(FARTHEST[1], y, f"{share:.0f} % →", ha="right", **how)


def _limits(share: np.ndarray, low: Any, high: Any) -> tuple[float, float]:
    """From the floor or what is worse, to the experimental error or what is better."""
    ends = 100 * np.concatenate([low, high])
    values = np.concatenate([share, ends])
    values = np.append(values[~np.isnan(values)], [0, 100]).clip(*FARTHEST)
    pad = 0.05 * (values.max() - values.min())
    return float(values.min() - pad), float(values.max() + pad)


def _marks(floor: str) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color="0.45", alpha=0.35, label=f"does not beat\n{floor}"),
        Line2D([], [], color="0.2", lw=1.1, label="interval"),
        Line2D([], [], color="0.25", lw=1.3, ls=(0, (5, 2)), label="experimental error"),
    ]
