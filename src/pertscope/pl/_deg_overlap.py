"""Do the genes that change most agree, and how far down the list?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.bootstrap import bootstrap_interval
from pertscope._core.predictions import stored_predictions
from pertscope.ev._comparison import Options
from pertscope.ev._deg_agreement import rank_genes, top_overlap
from pertscope.ev._gene_tests import GENE_TESTS, gene_test
from pertscope.ev._judged import observe, predicted
from pertscope.pl._style import (
    CHANCE_LINE,
    legend_beside,
    line_styles,
    one_axes,
    text_width,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from pertscope.ev._deg_agreement import GeneOrder
    from pertscope.ev._side import Side

N_LENGTHS = 40
MAX_BANDS = 4
"""With more predictions, intervals would hide each other and the curves."""


def deg_overlap(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    method: str = "t-test",
    max_genes: int | None = None,
    confidence: float = 0.95,
    split: str | None = "test",
    ax: Axes | None = None,
) -> Axes:
    """Plot the share of the top k genes that prediction and observation have in common, against k.

    ``|top-k by |predicted score| and top-k by |observed score|| / k``: the mean over conditions,
    and its bootstrap interval for up to four predictions. Genes are ranked by the absolute score of
    the test against the matched controls, significant or not; tied genes count by their
    expectation. Two random lists have ``k / genes`` in common. At k = 20 it is ``deg_recall_at_20``
    of :func:`pertscope.ev.deg_metrics`.

    Parameters
    ----------
    adata
        Registered screen with predictions. t-tests read it in memory, backed or dask, as moments.
    predictions
        Names of the predictions to show; all by default.
    method
        Test of the genes, as in :func:`pertscope.ev.deg_metrics`.
    max_genes
        Longest list; by default 500, or all genes if there are fewer.
    confidence
        Coverage of the intervals.
    split
        Part of the split to judge; ``None`` for all predicted conditions.
    ax
        Axes to draw into; by default a new figure.

    Returns
    -------
    The Axes; predictions are listed by their mean overlap, best at the top.

    Raises
    ------
    KeyError
        If there are no predictions, or none of a name.
    ValueError
        If the method is unknown, `max_genes` is no number of genes, or a part is empty.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_mean_effect(adata)
    >>> ax = ps.pl.deg_overlap(adata, max_genes=20)
    >>> ax.get_xlabel()
    'number of top genes k'
    """
    n_genes = adata.n_vars
    if method not in GENE_TESTS:
        raise ValueError(f"`method`={method!r} must be one of {GENE_TESTS}.")
    longest = min(500, n_genes) if max_genes is None else max_genes
    if not 1 <= longest <= n_genes:
        raise ValueError(f"`max_genes`={longest} must be from 1 to {n_genes}, the number of genes.")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence`={confidence} must lie between 0 and 1.")
    judged = observe(adata, split)
    lengths = np.unique(np.geomspace(1, longest, N_LENGTHS).round().astype(int))
    curves = {
        name: overlap_curves(c.predicted, c.observed, method, lengths)
        for name, _, c in predicted(adata, judged, predictions, options=Options(), warn=False)
    }
    styles = line_styles(stored_predictions(adata))
    ax = one_axes(ax, (5.0 + text_width(curves), 3.8))
    for name in sorted(curves, key=lambda n: -curves[n].mean()):
        ends = np.array([bootstrap_interval(v, confidence=confidence)[:3] for v in curves[name].T])
        if len(curves) <= MAX_BANDS:
            ax.fill_between(
                lengths, ends[:, 1], ends[:, 2], color=styles[name]["color"], alpha=0.18, lw=0
            )
        ax.plot(lengths, ends[:, 0], lw=1.6, label=name, **styles[name])
    ax.plot(lengths, lengths / n_genes, label=f"chance: k / {n_genes}", **CHANCE_LINE)
    if longest > 1:
        ax.set_xscale("log")
        ax.set_xlim(1, longest)
        ax.xaxis.set_major_formatter("{x:.0f}")
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("number of top genes k")
    ax.set_ylabel("share in common with the observed")
    ax.set_title(f"genes ranked by {method}", fontsize="medium")
    tidy(ax, grid="y")
    legend_beside(ax)
    return ax


def overlap_curves(
    predicted_side: Side, observed_side: Side, method: str, lengths: np.ndarray
) -> np.ndarray:
    """Overlap of the top genes of each condition, float64 ``(p, lengths)``."""
    a, b = (_order(side, method) for side in (predicted_side, observed_side))
    return np.stack([top_overlap(a, b, int(k)) for k in lengths], axis=1)


def _order(side: Side, method: str) -> GeneOrder:
    score = np.abs(gene_test(side, method).score)
    return rank_genes(score, np.ones(score.shape, dtype=bool))
