"""Are batches mixed and biology kept? Both at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope.ev._integration import REPRESENTATION
from pertscope.ev._integration_metrics import BATCH, BIOLOGY, TOTAL, WEIGHTS
from pertscope.pl._labels import name_points
from pertscope.pl._style import BLUE, VERMILION, legend_beside, one_axes, tidy
from pertscope.pl._tables import judged_table

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def integration(adata: AnnData, key: str = "integration", *, ax: Axes | None = None) -> Axes:
    """Plot the biology score of representations against their batch score.

    Both are means of metrics, higher is better. Representations on one of the grey lines have the
    same total, ``0.4 batch + 0.6 biology``; the best one is a diamond. Cells at random mix batches
    best, and have the best total where biology is weak: judge what
    :func:`~pertscope.pp.random_labels` writes beside the others.

    Parameters
    ----------
    adata
        Screen that was judged by :func:`pertscope.ev.integration`, which takes several
        representations: before and after each correction.
    key
        Key of ``.uns`` with the table.
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
        If the table is another one, or no representation has both scores.

    References
    ----------
    Luecken et al., Nature Methods 19 (2022); Arevalo et al., Nature Communications 15 (2024).

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=3, n_genes=30, n_batches=2, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> adata.obsm["X_some"] = adata.X[:, :10].toarray()
    >>> ps.pp.center(adata, "X_some")
    >>> metrics = ["ilisi", "silhouette_label"]
    >>> ps.ev.integration(adata, ["X_some", "X_some_center"], metrics=metrics)
    >>> ax = ps.pl.integration(adata)
    >>> sorted(text.get_text() for text in ax.texts)
    ['X_some', 'X_some_center']
    """
    columns = [REPRESENTATION, keys.METRIC, keys.VALUE]
    table = judged_table(adata, key, function="integration", columns=columns).astype(
        dict.fromkeys(columns[:2], str)
    )
    chosen = table[table[keys.METRIC].isin([BATCH, BIOLOGY, TOTAL])]
    scores = chosen.pivot_table(keys.VALUE, REPRESENTATION, keys.METRIC, sort=False)
    scores = scores.reindex(columns=[BATCH, BIOLOGY, TOTAL]).dropna()
    if scores.empty:
        raise ValueError(
            f"no representation of `.uns[{key!r}]` has both scores: judge it by metrics of "
            "batches and of biology."
        )
    x, y, total = scores.to_numpy(float).T
    best = total == total.max()

    ax = one_axes(ax, (7.2, 4.2))
    if not best.all():
        ax.plot(x[~best], y[~best], "o", color=BLUE, ms=6, mec="white", label="others")
    ax.plot(x[best], y[best], "D", color=VERMILION, ms=7, mec="white", label="best total")
    for axis, values in (("x", x), ("y", y)):
        pad = 0.12 * (values.max() - values.min()) or 0.05
        getattr(ax, f"set_{axis}lim")(values.min() - pad, values.max() + pad)
    ax.locator_params(nbins=5)
    ax.set_xlabel("batch score (higher is better)")
    ax.set_ylabel("biology score (higher is better)")
    tidy(ax)
    _equal_totals(ax)
    legend_beside(ax)
    sides = np.where(x < np.median(x), -1, 1)
    name_points(ax, x, y, names=list(scores.index), sides=sides)
    return ax


def _equal_totals(ax: Axes) -> None:
    """Lines of representations that are equally good."""
    from matplotlib.ticker import MaxNLocator

    a, b = WEIGHTS[BATCH], WEIGHTS[BIOLOGY]
    corners = [a * x + b * y for x, y in zip(ax.get_xlim(), ax.get_ylim(), strict=True)]
    for i, level in enumerate(MaxNLocator(8).tick_values(*corners)):
        label = f"same total\n({a:g} batch + {b:g} biology)" if i == 0 else None
        ax.axline((0, level / b), slope=-a / b, color="0.85", lw=0.9, zorder=0, label=label)
