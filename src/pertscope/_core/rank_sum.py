"""Wilcoxon's rank-sum test of every group against its reference, all groups and genes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.gene_test import GeneTest, adjust_p_values
from pertscope._core.gene_tiles import gene_tiles
from pertscope._core.messages import listed

if TYPE_CHECKING:
    from collections.abc import Sequence


def rank_sum_test(
    x: Any,
    codes: np.ndarray,
    n_groups: int,
    reference: np.ndarray,
    *,
    tie_correct: bool = False,
    continuity: bool = False,
    names: Sequence[str] | None = None,
) -> GeneTest:
    """Wilcoxon's rank-sum (Mann-Whitney) test of each group against its reference, for every gene.

    With W the sum of the ranks of a group's n cells among them and the m cells of its reference,
    ties sharing their mean rank, ``U = W - n (n + 1) / 2`` and N = n + m::

        z = (U - n m / 2) / sqrt(n m (N + 1) / 12 * T)

    T is 1, or with `tie_correct` ``1 - sum(t**3 - t) / (N**3 - N)`` over blocks of t tied cells.
    This is scanpy's z, with and without `tie_correct`. With `continuity`, ``U - n m / 2`` comes
    closer to zero by 0.5, never past it; with both, p-values are those of
    ``scipy.stats.mannwhitneyu(..., method="asymptotic")``.

    Where a group or its reference has no cells, a group is its own reference, or all cells are
    tied, the score is 0 and the p-value 1.

    Parameters
    ----------
    x
        Cells x genes: CSR, CSC or dense in memory, a backed HDF5 or zarr matrix, or a dask array.
        Read block by block; never made dense. What is not in memory is read once to count and
        once per tile of `gene_tiles.TILE_BYTES`; stored as CSC, twice in all.
    codes
        Group of each row, int ``(cells,)``; negative rows belong to none.
    n_groups
        Number of groups.
    reference
        Group that each group is compared with, int ``(groups,)``; it may be the same for all.
    tie_correct
        Correct the variance of U for ties.
    continuity
        Correct for continuity.
    names
        Names of the genes, for the error message.

    Returns
    -------
    z, two-sided p-values of the normal distribution, and p-values adjusted by Benjamini and
    Hochberg within each group. The result has the same bytes for any number of threads.

    Raises
    ------
    ValueError
        If a value is NaN, or `codes` or `reference` do not fit.
    """
    codes, reference = _checked(x, codes, n_groups, reference)
    n = np.bincount(codes[codes >= 0], minlength=n_groups)
    score = np.empty((n_groups, x.shape[1]))
    has_nan = np.zeros(x.shape[1], np.bool_)
    for tile, values, stored in gene_tiles(x, codes, n_groups):
        doubled_u, ties = _compare(values, stored, n, reference, has_nan[tile])
        if not tie_correct:
            ties = np.zeros_like(ties)
        score[:, tile] = _z(doubled_u, ties, n, n[reference], continuity).T
    _refuse_nan(has_nan, names)
    score[reference == np.arange(n_groups)] = 0.0
    p_value = _two_sided(score)
    return GeneTest(score, p_value, adjust_p_values(p_value))


def _checked(
    x: Any, codes: np.ndarray, n_groups: int, reference: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    codes = np.maximum(np.asarray(codes, dtype=np.int64), -1)
    reference = np.ascontiguousarray(reference, dtype=np.int64)
    if codes.shape != (x.shape[0],):
        raise ValueError(f"`codes` has shape {codes.shape}, the matrix {x.shape[0]} rows.")
    if codes.max(initial=-1) >= n_groups:
        raise ValueError(f"`codes` reach {codes.max()}, there are {n_groups} groups.")
    if reference.shape != (n_groups,):
        raise ValueError(f"`reference` has shape {reference.shape}, there are {n_groups} groups.")
    wrong = reference[(reference < 0) | (reference >= n_groups)]
    if wrong.size:
        raise ValueError(f"`reference` names group {wrong[0]}, there are {n_groups} groups.")
    return codes, reference


def _compare(
    values: np.ndarray,
    stored: np.ndarray,
    n: np.ndarray,
    reference: np.ndarray,
    has_nan: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Twice U, int64, and the sum of ``t**3 - t``, float64, each ``(genes, groups)``."""
    from pertscope._core import _rank_sum_kernels as kernels

    doubled_u = np.zeros(stored.shape[::-1], np.int64)
    ties = np.zeros(doubled_u.shape)
    edges = np.append(0, np.cumsum(stored.sum(axis=0)))
    labels = np.arange(len(n), dtype=np.uint16 if len(n) < 2**16 else np.uint32)
    unsigned = np.dtype(f"u{values.itemsize}")
    sign = unsigned.type(1 << (8 * values.itemsize - 1))
    infinity = np.array(np.inf, values.dtype).view(unsigned) | sign
    landmarks = np.array([~infinity, sign, infinity], unsigned)
    kernels.compare(
        values.view(unsigned),
        edges,
        stored,
        n,
        reference,
        labels,
        landmarks,
        doubled_u,
        ties,
        has_nan,
    )
    return doubled_u, ties


def _refuse_nan(has_nan: np.ndarray, names: Sequence[str] | None) -> None:
    if has_nan.any():
        bad = np.flatnonzero(has_nan)
        which = listed(bad if names is None else np.asarray(names)[bad])
        raise ValueError(
            f"expression holds NaN in {bad.size} gene(s): {which}. Remove or impute them first."
        )


def _z(
    doubled_u: np.ndarray, ties: np.ndarray, n: np.ndarray, m: np.ndarray, continuity: bool
) -> np.ndarray:
    """Standardised U, float64 ``(genes, groups)``; 0 where it has no variance."""
    n, m = n.astype(np.float64), m.astype(np.float64)
    total = n + m
    distance = (doubled_u - n * m) / 2
    if continuity:
        distance = np.sign(distance) * np.maximum(np.abs(distance) - 0.5, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = distance / np.sqrt(n * m * (total + 1) / 12 * (1 - ties / (total**3 - total)))
    return np.where(np.isfinite(z), z, 0.0)


def _two_sided(z: np.ndarray) -> np.ndarray:
    from scipy.special import erfc

    return erfc(np.abs(z) / np.sqrt(2))
