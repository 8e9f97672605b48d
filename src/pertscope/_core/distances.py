"""Errors and similarities between rows, and distances between all pairs of rows.

Shapes: ``a`` and ``b`` are float64 ``(rows, columns)``. Functions of rows return ``(rows,)``, those
of pairs ``(rows of a, rows of b)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

SHORT = 1e-140
"""Length of a row whose square loses digits to underflow; that of one over it, to overflow."""


def mse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared error of rows."""
    return np.mean((a - b) ** 2, axis=1)


def rmse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root of the mean squared error of rows."""
    return np.sqrt(mse(a, b))


def mae(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean absolute error of rows."""
    return np.mean(np.abs(a - b), axis=1)


def l2(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance of rows."""
    return np.linalg.norm(a - b, axis=1)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine similarity of rows; 0 where one is a zero vector."""
    return np.clip(np.einsum("ij,ij->i", unit_rows(a), unit_rows(b)), -1, 1)


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation of rows; NaN where one is constant."""
    r = cosine(centred_rows(a), centred_rows(b))
    r[_is_constant(a) | _is_constant(b)] = np.nan
    return r


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman correlation of rows, ties by mean rank; NaN where one is constant."""
    from scipy.stats import rankdata

    return pearson(rankdata(a, axis=1), rankdata(b, axis=1))


def r2(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Coefficient of determination of rows against the truth `b`; NaN where that is constant."""
    total = np.sum((b - b.mean(axis=1, keepdims=True)) ** 2, axis=1)
    total[_is_constant(b)] = np.nan
    return 1 - np.sum((a - b) ** 2, axis=1) / total


def unit_rows(a: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; zero rows stay zero."""
    a = np.asarray(a, dtype=np.float64)
    with np.errstate(over="ignore"):
        norm = np.sqrt(np.einsum("ij,ij->i", a, a))[:, None]
    lost = ~((norm > SHORT) & (norm < 1 / SHORT))[:, 0]
    found = np.divide(a, norm, out=np.zeros_like(a), where=~lost[:, None])
    if lost.any():
        scale = np.max(np.abs(a[lost]), axis=1, keepdims=True, initial=0)
        scaled = np.divide(a[lost], scale, out=np.zeros_like(a[lost]), where=scale > 0)
        norm = np.linalg.norm(scaled, axis=1, keepdims=True)
        found[lost] = np.divide(scaled, norm, out=np.zeros_like(scaled), where=norm > 0)
    return found


def centred_rows(a: np.ndarray) -> np.ndarray:
    """Rows minus their mean."""
    return a - a.mean(axis=1, keepdims=True)


def _is_constant(a: np.ndarray) -> np.ndarray:
    return np.ptp(a, axis=1) == 0


def pairwise_l2(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance of all pairs."""
    centre = b.mean(axis=0)  # a common shift changes no distance, and spares digits
    a, b = a - centre, b - centre
    squared = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b) - 2 * (a @ b.T)
    return np.sqrt(np.maximum(squared, 0))


def pairwise_rmse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root of the mean squared error of all pairs."""
    return pairwise_l2(a, b) / np.sqrt(a.shape[1])


def pairwise_mae(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean absolute error of all pairs."""
    from scipy.spatial.distance import cdist

    return cdist(a, b, "cityblock") / a.shape[1]


def pairwise_cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One minus cosine similarity of all pairs; 1 where one is a zero vector."""
    return 1 - np.clip(unit_rows(a) @ unit_rows(b).T, -1, 1)


def pairwise_pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One minus Pearson correlation of all pairs; 1 where one is constant."""
    return pairwise_cosine(centred_rows(a), centred_rows(b))


PAIRWISE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "rmse": pairwise_rmse,
    "mae": pairwise_mae,
    "l2": pairwise_l2,
    "cosine": pairwise_cosine,
    "pearson": pairwise_pearson,
}
"""Distances by which conditions can be ranked: lower is nearer."""
