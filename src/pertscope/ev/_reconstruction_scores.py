"""Scores of reconstructed expression, gene by gene and batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.messages import listed

if TYPE_CHECKING:
    from collections.abc import Callable

SPEARMAN, PEARSON, MSE, MAE = "spearman", "pearson", "mse", "mae"
INTEGRITY = "structural_integrity"
BLOCK_VALUES = 2**23
"""Values of expression that are dense at a time."""


def reconstruction_scores(
    observed: Any,
    predict: Callable[[slice], np.ndarray],
    batch: np.ndarray,
    is_control: np.ndarray,
) -> dict[str, float]:
    r"""Scores of a reconstruction.

    With :math:`\tilde Y_b` the perturbed rows of batch b minus the mean of its controls,

    .. math::
        D = \operatorname{mean}_b \frac{\|\tilde Y_b^{pred} - \tilde Y_b^{obs}\|_F}{n_b}, \qquad
        D_{max} = 2 \operatorname{mean}_b \frac{\|\tilde Y_b^{obs}\|_F}{n_b}, \qquad
        \text{structural integrity} = 1 - D / D_{max}.

    Parameters
    ----------
    observed
        Log expression ``(cells, genes)``, CSR, CSC or dense.
    predict
        Predicted expression of some genes, ``(cells, genes of the slice)``.
    batch
        Code of the batch of each cell, int64 ``(cells,)``.
    is_control
        Whether a cell is a control, bool ``(cells,)``.

    Returns
    -------
    ``spearman`` and ``pearson``, means over the genes that vary among the perturbed cells (a gene
    whose prediction does not vary counts as 0); ``mse`` and ``mae`` over perturbed cells and genes;
    ``structural_integrity``.
    """
    n_genes = observed.shape[1]
    columns = sp.csc_array(observed) if sp.issparse(observed) else observed
    n_batches = int(batch.max()) + 1
    n_perturbed = np.bincount(batch[~is_control], minlength=n_batches)
    distance, largest = np.zeros(n_batches), np.zeros(n_batches)
    correlations: list[np.ndarray] = []
    squared = absolute = 0.0
    step = max(1, BLOCK_VALUES // observed.shape[0])
    for start in range(0, n_genes, step):
        genes = slice(start, min(n_genes, start + step))
        block = columns[:, genes]
        y = np.asarray(block.toarray() if sp.issparse(block) else block, dtype=np.float64)
        found = predict(genes)
        error = (found - y)[~is_control]
        squared += float(np.einsum("ij,ij->", error, error))
        absolute += float(np.abs(error).sum())
        correlations.append(_correlations(found[~is_control], y[~is_control]))
        for b in np.flatnonzero(n_perturbed):
            own, controls = (batch == b) & ~is_control, (batch == b) & is_control
            centred = y[own] - y[controls].mean(axis=0)
            apart = found[own] - found[controls].mean(axis=0) - centred
            distance[b] += np.einsum("ij,ij->", apart, apart)
            largest[b] += np.einsum("ij,ij->", centred, centred)
    pearson, spearman = np.concatenate(correlations, axis=1)
    used = n_perturbed > 0
    apart_mean, largest_mean = (
        np.mean(np.sqrt(v[used]) / n_perturbed[used]) for v in (distance, largest)
    )
    n_values = int(n_perturbed.sum()) * n_genes
    varies = ~np.isnan(pearson)
    return {
        SPEARMAN: float(spearman[varies].mean()) if varies.any() else np.nan,
        PEARSON: float(pearson[varies].mean()) if varies.any() else np.nan,
        MSE: squared / n_values,
        MAE: absolute / n_values,
        INTEGRITY: float(1 - apart_mean / (2 * largest_mean)) if largest_mean > 0 else np.nan,
    }


def _correlations(found: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's and Spearman's correlation of each column, ``(2, genes)``; NaN where y is constant.

    0 where only the prediction is.
    """
    from scipy.stats import rankdata

    of_ranks = _pearson(rankdata(found, axis=0), rankdata(y, axis=0))
    result = np.stack([_pearson(found, y), of_ranks])
    result[:, np.ptp(found, axis=0) == 0] = 0
    result[:, np.ptp(y, axis=0) == 0] = np.nan
    return result


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    length = np.sqrt(np.einsum("ij,ij->j", a, a) * np.einsum("ij,ij->j", b, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.einsum("ij,ij->j", a, b) / length)


def check_controls(batch: np.ndarray, is_control: np.ndarray, names: np.ndarray) -> None:
    """Refuse batches of test that have perturbed cells but no controls, and name them."""
    lost = np.setdiff1d(batch[~is_control], batch[is_control])
    if len(lost):
        raise ValueError(
            f"{len(lost)} batch(es) have perturbed cells but no controls: {listed(names[lost])}. "
            "Structural integrity is about differences from the controls of a batch: drop them."
        )
