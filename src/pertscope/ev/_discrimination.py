"""Is a predicted effect nearer to its own observed effect than to those of other perturbations?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.messages import nearest
from pertscope.ev._ranks import TIE_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Callable

RECOMPUTE_ENTRIES = 1 << 22


def discrimination_score(
    predicted_effect: np.ndarray,
    observed_effect: np.ndarray,
    metric: str,
    *,
    exclude: np.ndarray | None = None,
    compat: str | None = None,
) -> np.ndarray:
    """One minus the rank of the true perturbation among all, by distance to the predicted effect.

    ``1 - r_i / p``, r_i the number of observed effects j that are nearer to prediction i than its
    own: ``sum over j != i of [d(xhat_i, x_j) < d(xhat_i, x_i)]``. 1 is best, 1/p worst. A tie
    counts one half; distances are tied if they differ by less than a millionth of the mean.

    Parameters
    ----------
    predicted_effect, observed_effect
        Float64 ``(p, G)``, conditions in the same order.
    metric
        ``"l1"``, ``"l2"`` or ``"cosine"``.
    exclude
        Integers ``(p,)``: the gene that prediction i is compared without (the one that the
        perturbation targets, which any model can know), or -1.
    compat
        ``"cell-eval"`` breaks ties by the order that ``numpy.argsort`` happens to give.

    Returns
    -------
    float64 ``(p,)``. A condition that is alone has no score (NaN); cell-eval gives it 1.

    References
    ----------
    Wu et al., PerturBench (2024); Adduri et al., State (2025).
    """
    if metric not in DISTANCES:
        raise ValueError(f"unknown metric {metric!r}; {nearest(metric, DISTANCES)}.")
    if compat not in (None, "cell-eval"):
        raise ValueError(f"`compat`={compat!r} must be None or 'cell-eval'.")
    if predicted_effect.shape != observed_effect.shape:
        raise ValueError(
            f"`predicted_effect` is {predicted_effect.shape}, `observed_effect` "
            f"{observed_effect.shape}; they must be the same."
        )
    p, n_genes = observed_effect.shape
    exclude = np.full(p, -1) if exclude is None else np.asarray(exclude)
    if exclude.shape != (p,) or (exclude < -1).any() or (exclude >= n_genes).any():
        raise ValueError(f"`exclude` must be {p} gene indices below {n_genes}, or -1 for none.")
    distance = DISTANCES[metric](predicted_effect, observed_effect, exclude)
    if compat:
        order = np.argsort(distance, axis=1)
        return 1 - np.argmax(order == np.arange(p)[:, None], axis=1) / p
    if p < 2:
        return np.full(p, np.nan)
    tolerance = TIE_TOLERANCE * distance.mean()
    gap = distance - np.diag(distance)[:, None]
    nearer = np.count_nonzero(gap < -tolerance, axis=1)
    tied = np.count_nonzero(np.abs(gap) <= tolerance, axis=1) - 1  # not with itself
    return 1 - (nearer + tied / 2) / p


def _l1(a: np.ndarray, b: np.ndarray, exclude: np.ndarray) -> np.ndarray:
    """Sum of absolute differences of all pairs, row i without gene ``exclude[i]``."""
    from scipy.spatial.distance import cdist

    distance = cdist(a, b, "cityblock")
    rows = np.flatnonzero(exclude >= 0)
    left_out = np.abs(a[rows, exclude[rows]][:, None] - b[:, exclude[rows]].T)
    # where one gene is most of the distance, what is left is its rounding error: sum again
    doubtful = left_out > distance[rows] / 2
    distance[rows] -= left_out
    pairs = np.argwhere(doubtful)
    step = max(RECOMPUTE_ENTRIES // a.shape[1], 1)
    for start in range(0, len(pairs), step):
        row, j = pairs[start : start + step].T
        i = rows[row]
        gap = np.abs(a[i] - b[j])
        gap[np.arange(len(i)), exclude[i]] = 0
        distance[i, j] = gap.sum(axis=1)
    return distance


def _l2(a: np.ndarray, b: np.ndarray, exclude: np.ndarray) -> np.ndarray:
    """Euclidean distance of all pairs, row i without gene ``exclude[i]``."""
    centre = b.mean(axis=0)  # a common shift changes no distance, and spares digits
    a, b = _without(a - centre, exclude), b - centre
    squared = np.einsum("ij,ij->i", a, a)[:, None] + _squared_norms(b, exclude) - 2 * (a @ b.T)
    return np.sqrt(np.maximum(squared, 0))


def _cosine(a: np.ndarray, b: np.ndarray, exclude: np.ndarray) -> np.ndarray:
    """One minus cosine of all pairs, row i without gene ``exclude[i]``; 1 for zero vectors."""
    a = _without(a, exclude)
    norms = np.sqrt(np.einsum("ij,ij->i", a, a)[:, None] * _squared_norms(b, exclude))
    similarity = np.divide(a @ b.T, norms, out=np.zeros_like(norms), where=norms > 0)
    return 1 - np.clip(similarity, -1, 1)


DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "l1": _l1,
    "l2": _l2,
    "cosine": _cosine,
}


def _without(a: np.ndarray, exclude: np.ndarray) -> np.ndarray:
    """Copy of `a` in which the excluded gene of each row is 0: it adds to no product."""
    a = np.array(a, dtype=np.float64)
    rows = np.flatnonzero(exclude >= 0)
    a[rows, exclude[rows]] = 0
    return a


def _squared_norms(b: np.ndarray, exclude: np.ndarray) -> np.ndarray:
    """Squared norm of row j of `b` without gene ``exclude[i]``, ``(p, p)`` at [i, j]."""
    squares = b * b
    largest = squares.argmax(axis=1)
    total = squares.sum(axis=1)
    left_out = np.where(exclude[:, None] >= 0, squares[:, exclude].T, 0.0)
    # only its largest gene can be more than half of a norm; there, a difference would lose digits
    squares[np.arange(len(b)), largest] = 0
    return np.where(exclude[:, None] == largest, squares.sum(axis=1), total - left_out)
