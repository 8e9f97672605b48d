"""Mean cosine of all pairs of a group, and how often chance makes it as large."""

from __future__ import annotations

import numpy as np

from pertscope._core.representation import sums_by_group

DRAWN_BYTES = 64 * 2**20
"""Memory of the random numbers that are drawn at a time."""

ROUNDING = 1e-12
"""The same cells in another order sum to the same but for this share."""


def mean_cosine(
    unit: np.ndarray, codes: np.ndarray, n_groups: int, *, diagonal: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosine of the pairs of each group, float64 ``(groups,)``, and its size, int64.

    Parameters
    ----------
    unit
        Vectors of length 1, or 0, ``(cells, d)``.
    codes
        Group of each cell, int64 ``(cells,)``.
    n_groups
        Number of groups.
    diagonal
        Whether a cell with itself is a pair. NaN where there is no pair.
    """
    n = np.bincount(codes, minlength=n_groups)
    total = sums_by_group(unit, codes, n_groups)
    square = np.einsum("ij,ij->i", total, total)
    with np.errstate(invalid="ignore", divide="ignore"):
        if diagonal:
            return square / n**2, n
        own = np.bincount(codes, np.einsum("ij,ij->i", unit, unit), minlength=n_groups)
        return (square - own) / (n * (n - 1)), n


def similarities_by_size(
    unit: np.ndarray, codes: np.ndarray, sizes: np.ndarray, seed: int, *, diagonal: bool
) -> list[np.ndarray]:
    """Mean cosine of groups from which as many cells are drawn as each size says.

    The cells of a group stand in one random order, and the first ones count; a group with fewer
    cells is taken as it is. Each cell is read once.

    Parameters
    ----------
    unit
        Vectors of length 1, or 0, ``(cells, d)``.
    codes
        Group of each cell, int64 ``(cells,)``; codes without gaps.
    sizes
        Numbers of cells, ascending.
    seed
        Seed of the order.
    diagonal
        Whether a cell with itself is a pair.

    Returns
    -------
    One float64 ``(groups with two cells or more,)`` for each size, ascending.
    """
    shuffled = np.random.default_rng(seed).permutation(len(codes))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    n_cells = np.bincount(codes)
    place = np.arange(len(codes)) - np.repeat(np.cumsum(n_cells) - n_cells, n_cells)
    total = np.zeros((len(n_cells), unit.shape[1]))
    own, before, found = np.zeros(len(n_cells)), 0, []
    for size in sizes:
        rows = order[(before <= place) & (place < size)]
        total += sums_by_group(unit[rows], codes[rows], len(n_cells))
        own += np.bincount(codes[rows], np.einsum("ij,ij->i", unit[rows], unit[rows]), len(n_cells))
        n = np.minimum(n_cells, size)[n_cells > 1]
        square = np.einsum("ij,ij->i", total, total)[n_cells > 1]
        if diagonal:
            found.append(np.sort(square / n**2))
        else:
            found.append(np.sort((square - own[n_cells > 1]) / (n * (n - 1))))
        before = size
    return found


def permutation_p(
    unit: np.ndarray,
    own: np.ndarray,
    is_null: np.ndarray,
    strata: np.ndarray,
    n_permutations: int,
    seed: tuple[int, ...],
    *,
    contrast: bool,
) -> float:
    """P-value of the mean cosine of a group whose cells swap labels with null cells.

    ``(1 + #{permuted >= observed}) / (1 + n_permutations)``; each permutation keeps how many cells
    the group has in each stratum.

    Parameters
    ----------
    unit
        Vectors of length 1, or 0, float64 ``(cells, d)``.
    own, is_null
        Cells of the group, and null cells, bool ``(cells,)``.
    strata
        Stratum of each cell, int64 ``(cells,)``.
    n_permutations
        Number of permutations.
    seed
        Seed of their draw.
    contrast
        Take the mean of the null cells of the stratum away, before and after each swap: where the
        null cells are what the representation was centred on, their mean is 0 by construction,
        and that of cells just like them is not.
    """
    from pertscope.ev._consistency_kernels import draw_sums

    rng = np.random.default_rng(seed)
    sums = np.zeros((n_permutations, unit.shape[1]))
    observed = np.zeros(unit.shape[1])
    for stratum in np.unique(strata[own]):
        here = strata == stratum
        n = int(np.count_nonzero(own & here))
        pool = np.flatnonzero(here & (own | is_null))
        # of a draw s out of the total t: s - n (t - s) / m, m being the number of null cells
        ratio = n / (len(pool) - n) if contrast else 0.0
        total = unit[pool].sum(axis=0)
        observed += (1 + ratio) * unit[own & here].sum(axis=0) - ratio * total
        step = max(1, DRAWN_BYTES // (8 * n))
        for start in range(0, n_permutations, step):
            uniform = rng.random((min(step, n_permutations - start), n))
            part = np.zeros((len(uniform), unit.shape[1]))
            draw_sums(unit, pool, n, uniform, part)
            sums[start : start + step] += (1 + ratio) * part - ratio * total
    drawn = np.einsum("ij,ij->i", sums, sums)
    n_higher = np.count_nonzero(drawn >= (1 - ROUNDING) * (observed @ observed))
    return float(1 + n_higher) / (1 + n_permutations)
