"""Do a prediction and an observation agree on the differentially expressed genes?

Shapes: arrays of genes are float64 or bool ``(p, G)``, p conditions by G genes. Functions of
conditions return float64 ``(p,)``, NaN where they are undefined. Overlap, direction, correlation
of folds and recall are those of cell-eval (Adduri et al., State, 2025); what it does otherwise is
a keyword.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ORDER_TIES = ("expected", "first")
DENOMINATORS = ("observed", "predicted")


@dataclass(frozen=True)
class GeneOrder:
    """Genes of each condition from the highest key to the lowest, ties included.

    Attributes
    ----------
    first, last
        int32 ``(p, G)``: a gene's places are ``first`` to ``last - 1``, one or, where keys are
        tied, as many as there are tied genes. A gene that takes no part has ``first`` G.
    number
        int64 ``(p,)``, the number of genes that take part.
    """

    first: np.ndarray
    last: np.ndarray
    number: np.ndarray

    def in_top(self, k: np.ndarray) -> np.ndarray:
        """Probability of each gene to be in the top k, ``(p, G)``, for one k per condition."""
        places = k[:, None] - self.first
        return np.clip(places / (self.last - self.first), 0, 1)

    def mid_rank(self) -> np.ndarray:
        """Rank of each gene from 1, the mean rank where tied, float64 ``(p, G)``."""
        return (self.first + self.last + 1) / 2


def rank_genes(key: np.ndarray, among: np.ndarray, *, ties: str = "expected") -> GeneOrder:
    """Order the genes of each condition by descending key: one sort for any number of k.

    Parameters
    ----------
    key
        Float ``(p, G)``. Infinite keys come first, NaN last.
    among
        Bool ``(p, G)``, the genes that take part.
    ties
        ``"expected"``: tied genes share their places, so that what is computed of the order is its
        mean over all orders of the tied. ``"first"``: the gene of the lower index comes first, on
        both sides alike, which makes tied genes agree. cell-eval does so up to 20 genes, and
        leaves the order of more to an unstable sort that depends on the number of threads.
    """
    if ties not in ORDER_TIES:
        raise ValueError(f"`ties`={ties!r} must be one of {ORDER_TIES}.")
    if key.shape != among.shape:
        raise ValueError(f"`key` is {key.shape}, `among` {among.shape}; they must be the same.")
    n_genes = key.shape[1]
    descending = np.where(np.isnan(key), np.inf, -key)
    descending[~among] = np.nan  # which sorts behind all numbers
    order = np.argsort(descending, axis=1, kind="stable")
    place = np.broadcast_to(np.arange(n_genes, dtype=np.int32), key.shape)
    start, end = place, place + np.int32(1)
    if ties == "expected":
        ordered = np.take_along_axis(descending, order, axis=1)
        new = np.ones((len(key), n_genes + 1), dtype=bool)
        new[:, 1:-1] = ordered[:, 1:] != ordered[:, :-1]
        start = np.maximum.accumulate(np.where(new[:, :-1], place, 0), axis=1)
        final = np.where(new[:, 1:], end, n_genes)[:, ::-1]
        end = np.minimum.accumulate(final, axis=1)[:, ::-1]
    first, last = np.empty((2, *key.shape), dtype=np.int32)
    np.put_along_axis(first, order, start, axis=1)
    np.put_along_axis(last, order, end, axis=1)
    first[~among], last[~among] = n_genes, n_genes + 1
    return GeneOrder(first, last, np.count_nonzero(among, axis=1))


def top_overlap(
    predicted: GeneOrder,
    observed: GeneOrder,
    k: int | None = None,
    *,
    denominator: str = "observed",
    empty: float = np.nan,
) -> np.ndarray:
    """Share of the top genes that prediction and observation have in common.

    ``|top-k' predicted and top-k' observed| / k'``, where ``k' = min(k, N)`` and N is the number of
    genes in the order of the denominator.

    Parameters
    ----------
    predicted, observed
        Orders of the significant genes, from :func:`rank_genes`.
    k
        Number of top genes; ``None`` for all N.
    denominator
        Whose N: ``"observed"`` (cell-eval's overlap) or ``"predicted"`` (its precision).
    empty
        Value where N is 0; cell-eval says 0.
    """
    if k is not None and k < 1:
        raise ValueError(f"`k`={k} must be at least 1, or None for all significant genes.")
    if denominator not in DENOMINATORS:
        raise ValueError(f"`denominator`={denominator!r} must be one of {DENOMINATORS}.")
    number = (observed if denominator == "observed" else predicted).number
    top = number if k is None else np.minimum(number, k)
    common = np.einsum("ij,ij->i", predicted.in_top(top), observed.in_top(top))
    return np.divide(common, top, out=np.full(len(top), empty, dtype=np.float64), where=top > 0)


def deg_recall(predicted_score: np.ndarray, observed_score: np.ndarray, k: int) -> np.ndarray:
    """Share of the k genes with the largest absolute scores that are the same.

    ``|top-k by |predicted score| and top-k by |observed score|| / k``, significant or not; tied
    genes count by their expectation, scores that are NaN come last.
    """
    n_genes = predicted_score.shape[1]
    if not 1 <= k <= n_genes:
        raise ValueError(f"`k`={k} must be from 1 to {n_genes}, the number of genes.")
    every = np.ones(predicted_score.shape, dtype=bool)
    return top_overlap(
        rank_genes(np.abs(predicted_score), every), rank_genes(np.abs(observed_score), every), k
    )


def fold_change(mean: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Log2 ratio of geometric means: ``log2(expm1(mean) / expm1(control))``.

    Means are on the log1p scale; negative ones count as 0. 0/0 is 0, x/0 is infinite.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.expm1(np.maximum(mean, 0)) / np.expm1(np.maximum(control, 0))
        fold = np.log2(ratio)
    return np.where(np.isnan(ratio), 0.0, fold)


def is_significant(
    p_adjusted: np.ndarray, alpha: float = 0.05, *, single: bool = False
) -> np.ndarray:
    """Genes with an adjusted p-value below alpha, bool ``(p, G)``; NaN is not.

    ``single`` compares in float32, as cell-eval does.
    """
    if single:
        return p_adjusted.astype(np.float32) < np.float32(alpha)
    return p_adjusted < alpha


def direction_match(
    predicted_fold: np.ndarray, observed_fold: np.ndarray, observed_significant: np.ndarray
) -> np.ndarray:
    """Share of the significant observed genes that are predicted to change in their direction.

    ``mean over significant genes of [sign(predicted fold) = sign(observed fold)]``; NaN without
    significant genes. A predicted fold of 0 matches only 0, NaN matches nothing.
    """
    same = np.sign(predicted_fold) == np.sign(observed_fold)
    return _share(same & observed_significant, observed_significant)


def significant_recall(
    predicted_significant: np.ndarray, observed_significant: np.ndarray
) -> np.ndarray:
    """Share of the significant observed genes that are significant in the prediction too."""
    return _share(predicted_significant & observed_significant, observed_significant)


def fold_spearman(
    predicted_fold: np.ndarray, observed_fold: np.ndarray, observed_significant: np.ndarray
) -> np.ndarray:
    """Spearman correlation of fold changes over the significant observed genes.

    Ties have their mean rank; all infinite folds of one sign are tied at the end. A missing
    prediction (NaN) counts as 0. NaN where one side is constant or there are fewer than two genes.
    """
    known = observed_significant & ~np.isnan(observed_fold)
    predicted_fold = np.where(np.isnan(predicted_fold), 0.0, predicted_fold)
    a, b = rank_genes(predicted_fold, known), rank_genes(observed_fold, known)
    centre = (a.number[:, None] + 1) / 2
    x = np.where(known, a.mid_rank() - centre, 0.0)
    y = np.where(known, b.mid_rank() - centre, 0.0)
    scale = np.sqrt(np.einsum("ij,ij->i", x, x)) * np.sqrt(np.einsum("ij,ij->i", y, y))
    r = np.einsum("ij,ij->i", x, y)
    r = np.divide(r, scale, out=np.full(len(r), np.nan), where=scale > 0)
    return np.clip(r, -1, 1)


def count_spearman(
    n_predicted: np.ndarray, n_observed: np.ndarray, *, compat: str | None = None
) -> float:
    """Spearman correlation of the numbers of significant genes ``(p,)`` across conditions.

    NaN where one side is constant. ``compat="cell-eval"`` leaves out the conditions without a
    significant observed gene, and calls it 1 where that leaves none.
    """
    if compat not in (None, "cell-eval"):
        raise ValueError(f"`compat`={compat!r} must be None or 'cell-eval'.")
    if compat:
        counted = n_observed > 0
        if not counted.any():
            return 1.0
        n_predicted, n_observed = n_predicted[counted], n_observed[counted]
    every = np.ones((1, len(n_observed)), dtype=bool)
    a, b = (np.asarray(n, dtype=np.float64)[None] for n in (n_predicted, n_observed))
    return float(fold_spearman(a, b, every)[0])


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    n, total = np.count_nonzero(part, axis=1), np.count_nonzero(whole, axis=1)
    return np.divide(n, total, out=np.full(len(total), np.nan), where=total > 0)
