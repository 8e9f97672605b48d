"""How many other predictions are nearer to an observation than its own."""

from __future__ import annotations

import numpy as np

TIE_TOLERANCE = 1e-6
"""Distances that differ by less than this share of the mean distance are tied.

Far above the rounding of float32 networks, far below any difference that means something.
"""

TIES = ("expected", "worst")


def ranks(distance: np.ndarray, *, ties: str = "expected") -> tuple[np.ndarray, np.ndarray]:
    """Rank and transposed rank of every condition.

    ``rank_i = sum over j != i of [d(xhat_j, x_i) < d(xhat_i, x_i)] / (p - 1)``, and the transposed
    rank with ``d(xhat_i, x_j)`` in place of ``d(xhat_j, x_i)``. A tie counts 1/2 (``"expected"``:
    the mean over all orders of the tied) or 1 (``"worst"``: the paper's ``<=``).

    Parameters
    ----------
    distance
        ``d(xhat_i, x_j)``, float64 ``(p, p)``: row i predicted, column j observed.
    ties
        ``"expected"`` or ``"worst"``.

    Returns
    -------
    Two arrays, float64 ``(p,)``, from 0 (perfect) to 1; NaN where p is 1.
    """
    p = len(distance)
    if p < 2:
        return np.full(p, np.nan), np.full(p, np.nan)
    weight = 0.5 if ties == "expected" else 1.0
    tolerance = TIE_TOLERANCE * distance.mean()
    own = np.diag(distance)

    def share(gap: np.ndarray, axis: int) -> np.ndarray:
        nearer = np.count_nonzero(gap < -tolerance, axis=axis)
        tied = np.count_nonzero(np.abs(gap) <= tolerance, axis=axis) - 1  # not with itself
        return (nearer + weight * tied) / (p - 1)

    return share(distance - own[None, :], 0), share(distance - own[:, None], 1)
