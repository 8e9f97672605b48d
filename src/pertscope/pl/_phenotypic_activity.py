"""How strong and how sure the phenotype of each perturbation is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope.ev._retrieval_table import CORRECTED, MEAN, P_VALUE
from pertscope.pl._labels import shortened
from pertscope.pl._style import BLUE, CHANCE_LINE, VERMILION, legend_beside, one_axes, tidy
from pertscope.pl._tables import judged_table

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def phenotypic_activity(
    adata: AnnData,
    key: str = "phenotypic_activity",
    *,
    fdr: float = 0.05,
    n_labels: int = 5,
    ax: Axes | None = None,
) -> Axes:
    """Plot mean average precision against its p-value, one point per perturbation.

    Perturbations that pass are round and filled, others are open squares. The dotted line is the
    largest p-value that passes. Many points share the smallest p-value that the null can give,
    hence the strongest are listed beside the plot.

    Parameters
    ----------
    adata
        Screen that was judged by :func:`pertscope.ev.phenotypic_activity` or
        :func:`pertscope.ev.phenotypic_consistency`, whose labels are then the points.
    key
        Key of ``.uns`` with the table.
    fdr
        Corrected p-value below which a perturbation is active.
    n_labels
        How many of the strongest active perturbations are listed beside the plot.
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
        If the table is another one, or no perturbation was tested.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata)
    >>> ps.pp.normalize(adata)
    >>> adata.obsm["X_dense"] = adata.X.toarray()
    >>> few = adata[::10].copy()
    >>> ps.ev.phenotypic_activity(few, "X_dense", n_null=100)
    >>> ps.pl.phenotypic_activity(few).get_xlabel()
    'mean average precision'
    """
    needed = [MEAN, P_VALUE, CORRECTED]
    table = judged_table(adata, key, function="phenotypic_activity", columns=needed)
    table = table.dropna(subset=needed)
    if table.empty:
        raise ValueError(f"`.uns[{key!r}]` has no p-value.")
    active = (table[CORRECTED] < fdr).to_numpy()
    x, y = table[MEAN].to_numpy(), -np.log10(table[P_VALUE].to_numpy())

    ax = one_axes(ax, (5.6, 3.8))
    for chosen, word, marker, face, edge in (
        (~active, "not passing", "s", "none", VERMILION),
        (active, "passing", "o", BLUE, "white"),
    ):
        how: dict[str, Any] = {"marker": marker, "facecolors": face, "edgecolors": edge}
        label = f"{word}: {chosen.sum()}"
        ax.scatter(x[chosen], y[chosen], s=22, lw=0.7, alpha=0.8, label=label, zorder=2, **how)
    if active.any():
        ax.axhline(y[active].min(), **CHANCE_LINE, label=f"false discovery rate {fdr:g}")
    names = table.drop(columns=table.select_dtypes("number").columns).astype(str).to_numpy()
    strongest = np.flatnonzero(active)[np.argsort(-x[active], kind="stable")][:n_labels]
    ax.set_xlim(min(0.0, x.min()) - 0.03, 1.03)
    ax.set_ylim(-0.04 * y.max() - 0.02, 1.06 * y.max() + 0.02)
    ax.set_xlabel("mean average precision")
    ax.set_ylabel("$-\\log_{10}$ p")
    tidy(ax)
    legend_beside(ax)
    _list_strongest(ax, x[strongest], ["|".join(row) for row in names[strongest]])
    return ax


def _list_strongest(ax: Axes, x: np.ndarray, names: list[str]) -> None:
    """Names beside the axes: the strongest points lie on each other, where none could be read."""
    if names:
        lines = [f"{value:.2f}  {shortened(name)}" for value, name in zip(x, names, strict=True)]
        text = "\n".join(["strongest", *lines])
        how: dict[str, Any] = {"va": "bottom", "fontsize": "small", "color": "0.25"}
        ax.text(1.02, 0.0, text, transform=ax.transAxes, **how)
