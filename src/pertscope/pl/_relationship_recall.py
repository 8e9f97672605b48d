"""Known relationships that representations recall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.pl._labels import shortened, wrapped
from pertscope.pl._scores import LEGEND_WIDTH, PANEL_WIDTH
from pertscope.pl._style import (
    CHANCE_LINE,
    SKY,
    end_of_first_row,
    legend_beside,
    panels,
    text_width,
    tidy,
)
from pertscope.pl._tables import judged_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

ROW_HEIGHT, TITLE_LETTERS = 0.28, 22


def relationship_recall(
    adata: AnnData,
    key: str = "relationship_recall",
    *,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the share of known pairs that representations recall, one panel per database.

    The dotted line is the recall by chance, the size of the tails. Representations are sorted by
    their mean recall, best at the top. A database that relates too few of the screen's
    perturbations has no bars.

    Parameters
    ----------
    adata
        Screen that was judged by :func:`pertscope.ev.relationship_recall`, which takes several
        representations.
    key
        Key of ``.uns`` with the table.
    axes
        One Axes per database to draw into; by default a new figure.

    Returns
    -------
    The Axes, one per database.

    Raises
    ------
    KeyError
        If ``.uns`` has no such table.
    ValueError
        If the table is another one or empty, or `axes` are not as many as databases.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import itertools, pandas as pd, pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=24, n_genes=60, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=10)
    >>> ps.pp.center(adata, "X_pca")
    >>> genes = [g for g in adata.obs["perturbation"].cat.categories if g != "control"]
    >>> known = pd.DataFrame(itertools.pairwise(genes), columns=["entity1", "entity2"])
    >>> ps.ev.relationship_recall(adata, ["X_pca", "X_pca_center"], databases=known)
    >>> [ax.get_title().splitlines() for ax in ps.pl.relationship_recall(adata)]
    [['table 1', '23 pairs']]
    """
    columns = ["representation", "database", "n_pairs", "recall", "floor"]
    table = judged_table(adata, key, function="relationship_recall", columns=columns)
    table = table.astype({"representation": str, "database": str})
    mean = table.groupby("representation", sort=False)["recall"].mean()
    names = mean.sort_values(kind="stable", na_position="first").index.to_list()
    databases = table["database"].unique().tolist()
    shown = [shortened(name) for name in names]
    drawn = panels(
        len(databases),
        axes,
        what="databases",
        size=(PANEL_WIDTH, 1.1 + ROW_HEIGHT * len(names)),
        extra_width=LEGEND_WIDTH + text_width(shown),
        n_columns=5,
        share_y=True,
    )
    right = 1.25 * max(table["recall"].max(), table["floor"].max())
    for ax, database in zip(drawn, databases, strict=True):
        rows = table[table["database"] == database].set_index("representation").loc[names]
        _draw(ax, rows, shown)
        ax.set_title(
            f"{wrapped(database, TITLE_LETTERS)}\n{rows['n_pairs'].iloc[0]:,} pairs",
            fontsize="small",
        )
        ax.set_xlim(0, right)
    legend_beside(end_of_first_row(drawn))
    return drawn


def _draw(ax: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    """Bars of one database, the last representation at the top."""
    y, recall = np.arange(len(rows)), rows["recall"].to_numpy(float)
    ax.barh(y, np.nan_to_num(recall), height=0.7, color=SKY, label="recall")
    for place, value in zip(y, recall, strict=True):
        text = "not judged" if np.isnan(value) else f"{value:.2f}"
        ax.annotate(
            text,
            (np.nan_to_num(value), place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize="x-small",
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    ax.axvline(rows["floor"].iloc[0], **CHANCE_LINE | {"zorder": 3}, label="chance")
    ax.set_yticks(y, names)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.locator_params(axis="x", nbins=3)
    ax.tick_params(axis="x", labelsize="small")
    ax.set_xlabel("recall", fontsize="small", color="0.35")
    tidy(ax)
