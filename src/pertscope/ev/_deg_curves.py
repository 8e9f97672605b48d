"""How well does the predicted evidence of change recover the significant observed genes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pertscope.ev._deg_agreement import GeneOrder

P_VALUE_FLOOR = 1e-10


def evidence(p_adjusted: np.ndarray, *, single: bool = False) -> np.ndarray:
    """``-log10`` of adjusted p-values clipped to 1e-10 and above, NaN as 1; ``(p, G)``.

    ``single`` computes in float32, as cell-eval does, which ties close values.
    """
    p = np.asarray(p_adjusted, dtype=np.float32 if single else np.float64)
    p = np.clip(np.where(np.isnan(p), 1, p), P_VALUE_FLOOR, 1).astype(p.dtype)
    return -np.log(p) / np.log(p.dtype.type(10))


def pr_auc(predicted: GeneOrder, observed_significant: np.ndarray) -> np.ndarray:
    """Average precision of the predicted order of all genes, as scikit-learn defines it.

    ``sum over thresholds of (recall_n - recall_(n-1)) * precision_n``: the mean, over the
    significant observed genes, of the precision among the genes that rank as high or higher.

    Parameters
    ----------
    predicted
        Order of all genes by :func:`evidence`, from ``rank_genes``.
    observed_significant
        Bool ``(p, G)``.

    Returns
    -------
    float64 ``(p,)``; NaN where no or every gene is significant.
    """
    positive, n, judged = _classes(predicted, observed_significant)
    # significant genes by their last place: those of a place and all before are the true positives
    at = np.zeros((positive.shape[0], positive.shape[1] + 1))
    rows, genes = np.nonzero(positive)
    last = predicted.last[rows, genes]
    np.add.at(at, (rows, last), 1)
    found = np.cumsum(at, axis=1)
    precision = np.bincount(rows, found[rows, last] / last, minlength=len(n))
    return np.divide(precision, n, out=np.full(len(n), np.nan), where=judged)


def roc_auc(predicted: GeneOrder, observed_significant: np.ndarray) -> np.ndarray:
    """Area under the receiver operating characteristic of the predicted order of all genes.

    ``P(evidence of a significant gene > of another) + P(equal) / 2``. Parameters and result as in
    :func:`pr_auc`.
    """
    positive, n, judged = _classes(predicted, observed_significant)
    n_genes = positive.shape[1]
    ranks = np.einsum("ij,ij->i", n_genes + 1 - predicted.mid_rank(), positive)
    pairs = n * (n_genes - n)
    wins = ranks - n * (n + 1) / 2
    return np.divide(wins, pairs, out=np.full(len(n), np.nan), where=judged)


def _classes(
    predicted: GeneOrder, observed_significant: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    positive = observed_significant
    n_genes = positive.shape[1]
    if (predicted.number < n_genes).any():
        raise ValueError("`predicted` must be the order of all genes, not of some.")
    n = np.count_nonzero(positive, axis=1)
    return positive, n, (n > 0) & (n < n_genes)
