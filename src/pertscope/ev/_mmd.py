"""Maximum mean discrepancy between populations of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope.ev._energy import energy_distance
from pertscope.ev._pairs import (
    all_pairs,
    centre_of,
    population,
    populations,
    right_tiles,
    sum_over_own_pairs,
    sum_over_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

GAMMAS = (2, 1, 0.5, 0.1, 0.01, 0.005)
"""CellFlow's mixture."""

MEDIAN_CELLS = 2000
"""The median heuristic looks at all pairs of at most this many cells."""

SAME = 1e-7
"""A distance below this share of the largest is that of equal cells, and rounding."""


def mmd_linear(x: Any, y: Any) -> float:
    """Squared MMD with the linear kernel ``k(a, b) = a . b``: ``|mean x - mean y|^2``.

    The V-statistic (Gretton et al., JMLR 2012), O((n + m) d). It sees means only.

    Parameters
    ----------
    x, y
        Cells of the populations, CSR or dense ``(n, d)`` and ``(m, d)``.
    """
    return energy_distance(x, y, form="half", metric="sqeuclidean")


def mmd_rbf(
    x: Any,
    y: Any,
    *,
    gammas: Sequence[float] | str = GAMMAS,
    unbiased: bool = False,
) -> float:
    """Squared MMD with Gaussian kernels, averaged over their widths.

    ``mean over gammas of E k(x, x') + E k(y, y') - 2 E k(x, y)`` with
    ``k(a, b) = exp(-gamma |a - b|^2)`` (Gretton et al., JMLR 2012).

    Parameters
    ----------
    x, y
        Cells of the populations, CSR or dense ``(n, d)`` and ``(m, d)``.
    gammas
        Inverse widths, by default CellFlow's six; or ``"median"``: one kernel with
        ``gamma = 1 / (2 median^2)``, the median Euclidean distance of distinct pairs of the pooled
        cells. Of more than 2,000 pooled cells it takes 2,000 in even steps, x before y, so that
        each population has its share.
    unbiased
        False: the V-statistic, where a cell is also paired with itself; never negative. True: the
        U-statistic, which leaves these pairs out; NaN where a population has a single cell.

    Raises
    ------
    ValueError
        If a gamma is not positive, the median distance is 0, a population is empty or holds NaN or
        infinite values, or the columns differ.
    """
    x, y = populations(x, y)
    if isinstance(gammas, str) and gammas != "median":
        raise ValueError(f"`gammas`={gammas!r} must be numbers or 'median'.")
    widths = np.array([_median_gamma(x, y)] if isinstance(gammas, str) else gammas, np.float64)
    if widths.ndim != 1 or widths.size == 0 or not (np.isfinite(widths) & (widths > 0)).all():
        raise ValueError(f"`gammas`={gammas!r} must be one or more positive numbers.")

    def kernel(squared: np.ndarray) -> np.ndarray:
        total = np.exp(-widths[0] * squared)
        for gamma in widths[1:]:
            total += np.exp(-gamma * squared)
        return total

    def within(cells: Any) -> float:
        n, total = cells.shape[0], sum_over_own_pairs(cells, kernel)
        if not unbiased:
            return total / n**2
        return (total - n * len(widths)) / (n * (n - 1)) if n > 1 else np.nan

    centre = centre_of(x, y)
    n_pairs = x.shape[0] * y.shape[0]
    between = sum_over_pairs(x, right_tiles(y, centre), centre, kernel) / n_pairs
    found = (within(x) + within(y) - 2 * between) / len(widths)
    return found if unbiased else max(found, 0.0)  # below 0 by rounding alone


def _median_gamma(x: Any, y: Any) -> float:
    n, total = x.shape[0], x.shape[0] + y.shape[0]
    rows = np.unique(np.linspace(0, total - 1, min(total, MEDIAN_CELLS)).astype(np.int64))
    parts = x[rows[rows < n]], y[rows[rows >= n] - n]
    stack = sp.vstack if any(sp.issparse(p) for p in parts) else np.vstack
    pooled = population(stack(parts), "x and y")
    squared = all_pairs(pooled, pooled)
    median = float(np.sqrt(np.median(squared[np.triu_indices(len(rows), 1)])))
    if median <= SAME * np.sqrt(squared.max()):
        raise ValueError("the median distance is 0: most cells are equal. Give `gammas` instead.")
    return 1 / (2 * median**2)
