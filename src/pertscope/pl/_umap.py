"""Cells in two dimensions, coloured by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core.messages import nearest
from pertscope._core.representation import representation_of
from pertscope._core.screen import Screen
from pertscope.pl._labels import shortened
from pertscope.pl._style import (
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    legend_beside,
    panels,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

COLORS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY)
CONTROL, OTHERS = "0.35", "0.85"
SIZE = (4.6, 3.1)


def umap(
    adata: AnnData,
    key: str = "X_pca_umap",
    *,
    color: str | Sequence[str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot a map of the cells, one panel per column that colours them.

    Labels: the six largest groups are coloured, the controls dark and all others pale grey.
    Numbers: from dark to bright. Cells lie over each other in random order, pale ones below.

    Parameters
    ----------
    adata
        Registered screen with a map in ``.obsm``, such as :func:`pertscope.tl.umap` writes.
    key
        Key of ``.obsm`` with two dimensions.
    color
        Columns of ``.obs``; by default the perturbation, and the batch where there is one.
    axes
        One Axes per column to draw into; by default a new figure.

    Returns
    -------
    The Axes, one per column.

    Raises
    ------
    KeyError
        If the screen is not registered, or there is no such map or column.
    ValueError
        If `key` has not two dimensions, no column is named, or `axes` are not as many.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=5)
    >>> ps.tl.umap(adata, "X_pca")
    >>> [ax.get_title() for ax in ps.pl.umap(adata, "X_pca_umap")]
    ['perturbation', 'batch']
    """
    screen = Screen.of(adata)
    points = _points(adata, key)
    if color is None:
        color = [c for c in (screen.perturbation_key, screen.batch_key) if c is not None]
    columns = [color] if isinstance(color, str) else list(color)
    if not columns:
        raise ValueError("`color` is empty: name at least one column, or leave it out.")
    for column in columns:
        if column not in adata.obs:
            raise KeyError(f"`.obs` has no {column!r}; {nearest(column, adata.obs)}.")

    labels = (*screen.condition_keys, screen.batch_key)
    drawn = panels(len(columns), axes, what="columns", size=SIZE, n_columns=3)
    for ax, column in zip(drawn, columns, strict=True):
        values = adata.obs[column]
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if numeric and column not in labels:
            _numbers(ax, points, values.to_numpy(float))
        else:
            control = screen.control if column == screen.perturbation_key else None
            _groups(ax, points, pd.Categorical(values), control)
        ax.set_title(column, fontsize="medium")
        ax.set_xlabel(key, fontsize="small", color="0.35")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_box_aspect(1)
        tidy(ax)
    return drawn


def _points(adata: AnnData, key: str) -> np.ndarray:
    """The map, ``(cells, 2)``."""
    if key not in adata.obsm:
        rep = key.removesuffix("_umap")
        raise KeyError(
            f"`.obsm` has no {key!r}: call `ps.tl.umap(adata, {rep!r})` first; "
            f"{nearest(key, adata.obsm)}."
        )
    points = representation_of(adata, key)
    if points.shape[1] != 2:
        raise ValueError(
            f"`.obsm[{key!r}]` has {points.shape[1]} dimensions: call `ps.tl.umap(adata, {key!r})` "
            f"and draw {f'{key}_umap'!r}."
        )
    return points


def _scatter(ax: Axes, points: np.ndarray, below: np.ndarray, color: Any, **how: Any) -> Any:
    """Cells in random order, the same each time, those of `below` first."""
    order = np.random.default_rng(0).permutation(len(points))
    order = order[np.argsort(~below[order], kind="stable")]
    size = float(np.clip(20_000 / max(len(points), 1), 1, 20))
    # a picture within the drawing: a million paths would make a file that no viewer opens
    return ax.scatter(
        points[order, 0],
        points[order, 1],
        c=color[order],
        s=size,
        lw=0,
        alpha=0.8,
        rasterized=True,
        **how,
    )


def _groups(ax: Axes, points: np.ndarray, labels: pd.Categorical, control: str | None) -> None:
    from matplotlib.lines import Line2D

    names = [str(name) for name in labels.categories]
    sizes = np.bincount(labels.codes[labels.codes >= 0], minlength=len(names))
    largest = [i for i in np.argsort(-sizes, kind="stable") if sizes[i] and names[i] != control]
    shown = {int(i): COLORS[n] for n, i in enumerate(sorted(largest[: len(COLORS)]))}
    if control in names and sizes[names.index(control)]:
        shown[names.index(control)] = CONTROL
    colors = np.array([shown.get(i, OTHERS) for i in range(len(names))] + [OTHERS], dtype=object)
    legend = {names[i]: color for i, color in shown.items()}
    n_others = len(largest) - len(COLORS)
    if n_others > 0:
        legend[f"{n_others} other{'s' * (n_others > 1)}"] = OTHERS
    if (labels.codes < 0).any():
        legend["missing"] = OTHERS
    _scatter(ax, points, ~np.isin(labels.codes, list(shown)), colors[labels.codes])
    handles = [
        Line2D([], [], ls="", marker="o", ms=6, mew=0, color=color, label=shortened(name))
        for name, color in legend.items()
    ]
    legend_beside(ax, handles)


def _numbers(ax: Axes, points: np.ndarray, values: np.ndarray) -> None:
    import matplotlib as mpl

    colors = mpl.colormaps["viridis"].with_extremes(bad=OTHERS)
    drawn = _scatter(ax, points, ~np.isfinite(values), values, cmap=colors, plotnonfinite=True)
    ax.figure.colorbar(drawn, ax=ax, shrink=0.8, pad=0.03)
