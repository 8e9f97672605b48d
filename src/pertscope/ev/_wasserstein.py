"""Optimal transport between populations of cells, and agreement of their variances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.distances import centred_rows, spearman
from pertscope.ev._pairs import all_pairs, populations

if TYPE_CHECKING:
    from collections.abc import Callable


def wasserstein_genes(x: Any, y: Any) -> np.ndarray:
    """Wasserstein-1 distance gene by gene: the area between the two distribution functions.

    ``integral |F_x(t) - F_y(t)| dt``, exact. Stored values of a gene are sorted, the cells that
    store none stand at 0 as one block, so sparse matrices stay sparse.

    Parameters
    ----------
    x, y
        Cells of the populations, CSR or dense ``(n, d)`` and ``(m, d)``.

    Returns
    -------
    float64 ``(d,)``, in units of the values.
    """
    x, y = populations(x, y)
    n, m = x.shape[0], y.shape[0]
    of_x, of_y = _columns(x), _columns(y)
    found = np.zeros(x.shape[1])
    for j in range(len(found)):
        a, b = of_x(j), of_y(j)
        at_zero = m * (n - len(a)) - n * (m - len(b))
        values = np.concatenate([a, b, [0.0]])
        weights = np.repeat([m, -n, at_zero], [len(a), len(b), 1])  # whole numbers sum exactly
        order = np.argsort(values)
        gap = np.cumsum(weights[order])[:-1]  # n m (F_x - F_y) between neighbours
        found[j] = np.abs(gap) @ np.diff(values[order])
    return found / (n * m)


def _columns(x: Any) -> Callable[[int], np.ndarray]:
    """Give the stored values of a gene, in float64."""
    if not sp.issparse(x):
        columns = np.asfortranarray(x)
        return lambda j: columns[:, j]
    csc = x.tocsc()
    if not csc.has_canonical_format:
        csc.sum_duplicates()
    return lambda j: csc.data[csc.indptr[j] : csc.indptr[j + 1]].astype(np.float64)


def sliced_wasserstein(x: Any, y: Any, *, n_projections: int = 50, seed: int = 0) -> float:
    """Mean Wasserstein-1 distance of the populations' projections on random directions.

    Directions are uniform on the sphere (Bonneel et al., J. Math. Imaging Vis. 2015).

    Parameters
    ----------
    x, y
        Cells of the populations, CSR or dense ``(n, d)`` and ``(m, d)``.
    n_projections
        Number of directions.
    seed
        Seed of the directions, which depend on it and d alone.
    """
    if n_projections < 1:
        raise ValueError(f"`n_projections`={n_projections} must be at least 1.")
    x, y = populations(x, y)
    directions = np.random.default_rng(seed).normal(size=(x.shape[1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    return float(wasserstein_genes(x @ directions, y @ directions).mean())


def sinkhorn(x: Any, y: Any, *, regularization: float = 0.1) -> float:
    """Cost of the entropic transport plan between the populations, by Sinkhorn's algorithm.

    ``sum_ij P_ij |x_i - y_j|`` where P has uniform margins and minimises that cost minus
    ``regularization * mean cost`` times its entropy (Cuturi, NeurIPS 2013). It tends to the
    Wasserstein-1 distance from above as the regularization goes to 0, is not 0 for equal
    populations, and keeps several matrices ``(n, m)``. Iterated on the log scale.

    Parameters
    ----------
    x, y
        Cells of the populations, CSR or dense ``(n, d)`` and ``(m, d)``.
    regularization
        Strength of the entropy, as a share of the mean distance.

    Raises
    ------
    ImportError
        If POT is not installed.
    """
    try:
        import ot
    except ImportError as error:
        raise ImportError("`sinkhorn` needs the package POT: `pip install POT`.") from error
    if not regularization > 0:
        raise ValueError(f"`regularization`={regularization} must be positive.")
    x, y = populations(x, y)
    cost = np.sqrt(all_pairs(x, y))
    mean = cost.mean()
    if mean == 0:
        return 0.0
    n, m = cost.shape
    plan = ot.sinkhorn(
        np.full(n, 1 / n),
        np.full(m, 1 / m),
        cost,
        regularization * mean,
        method="sinkhorn_log",
        numItermax=10_000,
    )
    return float((plan * cost).sum())


def variance_agreement(
    variance_a: np.ndarray, mean_a: np.ndarray, variance_b: np.ndarray, mean_b: np.ndarray
) -> np.ndarray:
    """Spearman correlation over genes of two sides' variances, adjusted for their means.

    The variance of a gene follows from its mean for the most part, so raw variances agree as soon
    as the means do. On each side the ranks of the variances are therefore regressed on the ranks of
    the means, as in a partial rank correlation (Conover and Iman, Am. Stat. 1981), and the
    residuals are compared. Ranks need neither logarithms nor positive means.

    Parameters
    ----------
    variance_a, mean_a, variance_b, mean_b
        Moments of the two sides, float ``(p, genes)``.

    Returns
    -------
    float64 ``(p,)``; NaN where variances are a monotone function of the means, or constant.
    """
    shapes = {np.shape(v) for v in (variance_a, mean_a, variance_b, mean_b)}
    if len(shapes) > 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"moments must all be conditions x genes, but have shapes {shapes}.")
    return spearman(_residual_ranks(variance_a, mean_a), _residual_ranks(variance_b, mean_b))


def _residual_ranks(variance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    v, m = (centred_rows(rankdata(a, axis=1)) for a in (variance, mean))
    square = (m * m).sum(axis=1, keepdims=True)
    slope = np.divide((v * m).sum(axis=1, keepdims=True), square, where=square > 0, out=0 * square)
    return np.round(v - slope * m, 6)  # ties stay ties, and what is rounding is 0
