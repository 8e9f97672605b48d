"""Representations beside each other on all levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.messages import nearest
from pertscope.ev._evaluate_representations import INDEX, RANDOM_LABELS
from pertscope.pl._labels import shortened, wrapped
from pertscope.pl._style import VERMILION, one_axes, text_width
from pertscope.pl._tables import judged_table

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

BEST, ALL = "best", "all"
COLUMN_WIDTH, ROW_HEIGHT, HEAD_HEIGHT = 0.86, 0.36, 1.3
FLOOR_GAP = 0.35
"""Between the representations and the floor, in rows."""
WHITE_FROM = 0.6
"""Share of the colours from which white letters read better than black ones."""
LINE_LETTERS, METRIC_LETTERS = 14, 12
"""Letters of the name of a level, and of a metric, that fit over a column."""


def representations(
    adata: AnnData,
    key: str = "evaluate_representations",
    *,
    postprocess: str = BEST,
    ax: Axes | None = None,
) -> Axes:
    """Plot how representations do on each level, a row each, beside random labels.

    Colours go from the lowest to the highest value of a column, random labels included: what is as
    pale as these is no better. They stand apart at the bottom: the floor of levels 2 to 6, and the
    ceiling of level 1, where they mix all batches. The best representation of each column is
    framed. Higher is better everywhere.

    Parameters
    ----------
    adata
        Screen that was judged by :func:`pertscope.ev.evaluate_representations`.
    key
        Key of ``.uns`` with the table.
    postprocess
        ``"best"``: the best post-processing of each representation and metric, named below the
        value. It was chosen by what is shown. ``"all"``: a row for each. Or the name of one.
    ax
        Axes to draw into; by default a new figure.

    Returns
    -------
    The Axes. What is not defined is grey.

    Raises
    ------
    KeyError
        If ``.uns`` has no such table, or the table no such post-processing.
    ValueError
        If the table is another one, or empty.

    References
    ----------
    Bendidi et al. (2024), Table 2.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, n_batches=4, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=5)
    >>> ps.ev.evaluate_representations(adata, ["X_pca"], levels=[3, 4], n_seeds=1)
    >>> ax = ps.pl.representations(adata)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['X_pca', 'random_labels']
    """
    columns = [*INDEX, "representation", "postprocess", keys.VALUE, "best"]
    table = judged_table(adata, key, function="evaluate_representations", columns=columns)
    values, how, n_judged = _rows_by_metric(table, postprocess)
    names = [shortened(name) for name in values.index]
    y = np.arange(len(names)) + np.where(np.arange(len(names)) < n_judged, 0.0, FLOOR_GAP)
    numbers = values.to_numpy(float)
    share = _share_of_range(numbers)
    chosen = postprocess == BEST and len(table["postprocess"].unique()) > 1

    height = ROW_HEIGHT if chosen else 0.8 * ROW_HEIGHT
    width = max(COLUMN_WIDTH * values.shape[1], 2.6)
    ax = one_axes(ax, (0.4 + text_width(names) + width, HEAD_HEIGHT + height * (y[-1] + 1)))
    _fill(ax, share[:n_judged], y[:n_judged])
    _fill(ax, share[n_judged:], y[n_judged:])
    _write(ax, y, numbers, share, how.to_numpy(object) if chosen else None)
    _frame_best(ax, numbers[:n_judged])
    ax.set_ylim(y[-1] + 0.5, -0.5)
    ax.set_yticks(y, names)
    _name_columns(ax, list(values.columns))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    caption = _caption(postprocess, chosen, n_letters=int(width / 0.075))
    ax.set_xlabel(caption, fontsize="small", color="0.35")
    return ax


def _rows_by_metric(
    table: pd.DataFrame, postprocess: str
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Values and their post-processings, columns by level and metric; how many rows are no floor.

    Rows are representations in the order of the table, the floor last.
    """
    table = table.astype(dict.fromkeys((*INDEX[1:], "representation", "postprocess"), str))
    options = [BEST, ALL, *table["postprocess"].unique()]
    if postprocess not in options:
        raise KeyError(f"no post-processing {postprocess!r}; {nearest(postprocess, options, 9)}.")
    metrics = table.sort_values("level", kind="stable")[list(INDEX)].drop_duplicates()
    table["row"] = table["representation"]
    if postprocess == ALL:
        table["row"] += ", " + table["postprocess"]
    is_floor = table["representation"] == RANDOM_LABELS
    judged, floor = (table.loc[which, "row"].unique().tolist() for which in (~is_floor, is_floor))
    if postprocess == BEST:
        table = table[table["best"]]
    elif postprocess != ALL:
        table = table[table["postprocess"] == postprocess]
    columns = pd.MultiIndex.from_frame(metrics)
    values, how = (
        table.pivot_table(v, "row", list(INDEX), aggfunc="first").reindex(
            index=[*judged, *floor], columns=columns
        )
        for v in (keys.VALUE, "postprocess")
    )
    return values, how, len(judged)


def _share_of_range(numbers: np.ndarray) -> np.ndarray:
    """Where a value lies between the lowest (0) and the highest (1) of its column."""
    known = np.ma.masked_invalid(numbers)
    low, high = known.min(axis=0), known.max(axis=0)
    return (known - low) / np.ma.where(high > low, high - low, 1)


def _fill(ax: Axes, share: np.ndarray, y: np.ndarray) -> None:
    import matplotlib as mpl

    if len(y):
        ax.pcolormesh(
            np.arange(share.shape[1] + 1) - 0.5,
            np.append(y, y[-1] + 1) - 0.5,
            share,
            vmin=0,
            vmax=1,
            cmap=mpl.colormaps["Blues"].with_extremes(bad="0.8"),
            edgecolor="white",
            lw=0.8,
        )


def _write(
    ax: Axes, y: np.ndarray, numbers: np.ndarray, share: np.ndarray, how: np.ndarray | None
) -> None:
    """Values in their cells, above what chose them."""
    for i, j in np.ndindex(*numbers.shape):
        known = bool(np.isfinite(numbers[i, j]))
        height = float(y[i])
        style: dict[str, Any] = {"ha": "center", "va": "center"}
        style["color"] = "white" if known and share[i, j] > WHITE_FROM else "black"
        shift = 0.14 if how is not None and known else 0.0
        text = f"{numbers[i, j]:.3f}" if known else "n/a"
        ax.text(j, height - shift, text, fontsize="small", **style)
        if how is not None and known:
            ax.text(j, height + 0.26, str(how[i, j]), fontsize=6, **style)


def _frame_best(ax: Axes, numbers: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    for j, column in enumerate(numbers.T):
        for i in np.flatnonzero(column == np.nanmax(column, initial=-np.inf)):
            frame = Rectangle((j - 0.46, i - 0.44), 0.92, 0.88, fill=False, ec=VERMILION, lw=2)
            ax.add_patch(frame)


def _name_columns(ax: Axes, columns: list[tuple[int, str, str]]) -> None:
    """Metrics above their columns, and levels above these."""
    from matplotlib.transforms import offset_copy

    labels = [wrapped(metric, METRIC_LETTERS) for _, _, metric in columns]
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(columns)), labels, fontsize="small")
    n_lines = max(label.count("\n") + 1 for label in labels)
    above = offset_copy(
        ax.get_xaxis_transform(), ax.figure.canvas.figure, y=8 + 10.5 * n_lines, units="points"
    )
    levels = [(level, function) for level, function, _ in columns]
    for level, function in dict.fromkeys(levels):
        places = [i for i, other in enumerate(levels) if other == (level, function)]
        left, right = places[0] - 0.42, places[-1] + 0.42
        ax.plot([left, right], [1, 1], color="0.35", lw=1, transform=above, clip_on=False)
        title = wrapped(f"{level} {function}", LINE_LETTERS * len(places))
        middle = (left + right) / 2
        ax.annotate(
            title,
            (middle, 1),
            (0, 3),
            xycoords=above,
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7,
            fontweight="bold",
        )
        if left > 0:
            ax.axvline(left - 0.08, color="white", lw=4, zorder=1.5)


def _caption(postprocess: str, chosen: bool, *, n_letters: int) -> str:
    from textwrap import wrap

    said = ["colour: from the lowest to the highest of a column; frame: the best"]
    if postprocess not in (BEST, ALL):
        said.append(f"post-processing: {postprocess}")
    if chosen:
        said.append("small: the post-processing that did best")
    return "\n".join(line for sentence in said for line in wrap(sentence, n_letters))
