"""Which embeddings know the same of perturbations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope.pl._labels import shortened
from pertscope.pl._modality import modalities, modality_colors, modality_handles
from pertscope.pl._style import legend_beside, text_width
from pertscope.pl._tables import judged_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

CELL, TREE, STRIP, BAR = 0.26, 0.6, 0.13, 0.9
"""Inches of a cell, and heights of the tree, of the modalities and of the colour bar."""
LEAST_SIDE = 1.9
"""Inches of the caption."""
WRITTEN = 12
"""Up to so many embeddings, values are written into their cells."""
DARK = 0.55


def embedding_similarity(
    adata: AnnData,
    key: str = "embedding_similarity",
    *,
    modality: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot how similar embeddings of perturbations are, similar ones side by side.

    Rows and columns are embeddings, ordered by average linkage of ``1 - similarity``, whose tree is
    above; colours beside the names are modalities. The caption says what similarity there is by
    chance. Pairs without a value are grey, and count as chance in the tree.

    Parameters
    ----------
    adata
        Screen that was judged by :func:`pertscope.ev.embedding_similarity`.
    key
        Key of its table.
    modality
        Embedding -> what it is made of, as ``{"string": "interactome"}``.
    ax
        Axes of the heatmap, around which the rest stands; by default a new figure.

    Returns
    -------
    The Axes of the heatmap.

    Raises
    ------
    KeyError
        If ``.uns`` has no such table.
    ValueError
        If it is another table, or no pair has a value.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, figure 3.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=20, n_genes=50, seed=0)
    >>> ps.pp.register(adata)
    >>> genes = sorted(set(adata.obs["perturbation"]) - {"control"})
    >>> for name in ("a", "b"):
    ...     table = ps.tl.embed_random(genes, n_dims=3)
    ...     ps.pp.add_perturbation_embedding(adata, table, name)
    a: 20 of 20 perturbations have a vector of 3 dimensions
    b: 20 of 20 perturbations have a vector of 3 dimensions
    >>> ps.ev.embedding_similarity(adata)
    >>> [label.get_text() for label in ps.pl.embedding_similarity(adata).get_yticklabels()]
    ['a', 'b']
    """
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform

    columns = ["first", "second", "similarity", "chance"]
    table = judged_table(adata, key, function="embedding_similarity", columns=columns)
    names, matrix = _matrix(table)
    chance = float(table["chance"].mean())
    distance = np.clip(1 - np.where(np.isnan(matrix), chance, matrix), 0, None)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    drawn = dendrogram(tree, no_plot=True)
    order = drawn["leaves"]
    matrix, names = matrix[np.ix_(order, order)], [names[i] for i in order]
    shown = list(map(shortened, names))
    n = len(names)

    of = modalities(names, modality)
    colors = modality_colors(of, modality)
    handles = modality_handles(colors)
    side = max(CELL * n, LEAST_SIDE, 0.25 + BAR + 0.21 * len(handles))
    if ax is None:
        ax = _new_axes(side, 0.15 + text_width(shown), text_width(colors))
    _heatmap(ax, matrix)
    if handles:
        _strips(ax, [colors[m] for m in of], thickness=STRIP / side)
    shift = 1.6 * STRIP / side if handles else 0.02
    _tree(ax.inset_axes((0, 1 + shift, 1, TREE / side)), drawn)
    ax.set_xticks(range(n), shown, rotation=90, fontsize="small")
    ax.set_yticks(range(n), shown, fontsize="small")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(f"mean canonical correlation\n(by chance {chance:.2f})", fontsize="small")
    bar = ax.inset_axes((1 + shift + STRIP / side, 0, STRIP / side, BAR / side))
    ax.figure.colorbar(ax.images[0], cax=bar, ticks=[0, 0.5, 1]).ax.tick_params(labelsize="small")
    if handles:
        beside = ax.inset_axes((1 + shift, 0, 0.01, 1))
        beside.axis("off")
        legend_beside(beside, handles)
    return ax


def _matrix(table: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Names of the embeddings, and their similarities, 1 on the diagonal."""
    pairs = table.astype({"first": str, "second": str})
    names = list(dict.fromkeys([*pairs["first"], *pairs["second"]]))
    place = {name: i for i, name in enumerate(names)}
    matrix = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(matrix, 1)
    i, j = pairs["first"].map(place).to_numpy(), pairs["second"].map(place).to_numpy()
    matrix[i, j] = matrix[j, i] = pairs["similarity"].to_numpy()
    if pairs["similarity"].isna().all():
        raise ValueError("no two embeddings share enough perturbations to be compared.")
    return names, matrix


def _new_axes(side: float, names: float, modality_names: float) -> Axes:
    """Square Axes with room for names on two sides, the tree above, and a legend on the right.

    Everything around it has a size in inches, and is placed by shares of the side.
    """
    import matplotlib.pyplot as plt

    below, above, beside = names + 0.45, TREE + 2.5 * STRIP, 0.95 + modality_names
    width, height = names + side + beside, below + side + above
    figure = plt.figure(figsize=(width, height))
    return figure.add_axes((names / width, below / height, side / width, side / height))


def _heatmap(ax: Axes, matrix: np.ndarray) -> None:
    import matplotlib as mpl

    colors = mpl.colormaps["Blues"].with_extremes(bad="0.8")
    ax.imshow(np.ma.masked_invalid(matrix), cmap=colors, vmin=0, vmax=1, aspect="auto")
    if len(matrix) > WRITTEN:
        return
    for i, j in np.ndindex(*matrix.shape):
        if i != j and np.isfinite(matrix[i, j]):
            color = "white" if matrix[i, j] > DARK else "black"
            text = f"{matrix[i, j]:.2f}".removeprefix("0")
            ax.text(j, i, text, ha="center", va="center", fontsize=7, color=color)


def _strips(ax: Axes, colors: list[str], *, thickness: float) -> None:
    """Colours of the modalities above and on the right of the heatmap."""
    n, gap = len(colors), thickness / 4
    how: dict[str, Any] = {"color": colors, "edgecolor": "white", "lw": 0.6}
    above = ax.inset_axes((0, 1 + gap, 1, thickness))
    above.bar(range(n), np.ones(n), 1.0, **how)
    above.set(xlim=(-0.5, n - 0.5), ylim=(0, 1))
    beside = ax.inset_axes((1 + gap, 0, thickness, 1))
    beside.barh(range(n), np.ones(n), 1.0, **how)
    beside.set(xlim=(0, 1), ylim=(n - 0.5, -0.5))
    for strip in (above, beside):
        strip.axis("off")


def _tree(ax: Axes, drawn: dict[str, Any]) -> None:
    """The tree of linkage: dendrogram places leaves at 5, 15, 25, ..."""
    for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        ax.plot((np.array(x) - 5) / 10, y, color="0.35", lw=0.9)
    ax.set_xlim(-0.5, len(drawn["leaves"]) - 0.5)
    ax.set_ylim(0, 1.02 * max(map(max, drawn["dcoord"])) or 1)
    ax.axis("off")
