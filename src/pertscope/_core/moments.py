"""Number of cells, mean and variance by group and gene, in one pass over a matrix of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.matrix import blocks_with_progress
from pertscope._core.messages import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS_PER_TASK = 4096
"""A group of more rows than this is shared between threads."""
N_PARTS = 4
"""Parts of the rows that are summed at once, whatever the number of threads."""
CACHED_BYTES = 8 * 2**20
"""Sums of a part that a cache holds."""
PARTS_BYTES = 256 * 2**20
"""Sums of all parts take no more memory than this."""


@dataclass(frozen=True)
class Moments:
    """Moments of groups of cells.

    Attributes
    ----------
    n
        Cells per group, int64 ``(groups,)``.
    mean
        Means, float64 ``(groups, genes)``; NaN for a group without cells.
    m2
        Sums of squared deviations from the mean, float64 ``(groups, genes)``.
    """

    n: np.ndarray
    mean: np.ndarray
    m2: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Variance with ddof 0, float64 ``(groups, genes)``; NaN for a group without cells."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.m2 / self.n[:, None]

    def __getitem__(self, groups: Any) -> Moments:
        """Moments of some groups."""
        return Moments(self.n[groups], self.mean[groups], self.m2[groups])

    def pool(self, codes: np.ndarray, n_groups: int) -> Moments:
        """Moments of unions of groups: group i goes to ``codes[i]``, or nowhere if negative.

        From condition x batch to condition without reading a cell again.
        """
        n = np.zeros(n_groups, np.int64)
        mean = np.zeros((n_groups, self.mean.shape[1]))
        m2 = np.zeros_like(mean)
        for i in np.flatnonzero((codes >= 0) & (self.n > 0)):
            g, n_i = codes[i], self.n[i]
            total = n[g] + n_i
            d = self.mean[i] - mean[g]
            mean[g] += d * (n_i / total)
            m2[g] += self.m2[i] + d * d * (n[g] * n_i / total)
            n[g] = total
        mean[n == 0] = np.nan
        return Moments(n, mean, m2)

    def rest(self, codes: np.ndarray) -> Moments:
        """For each group, the moments of all other groups of the same ``codes``.

        What is alone has mean NaN.
        """
        total = self.pool(codes, int(codes.max(initial=-1)) + 1)[codes]
        n = total.n - self.n
        share = (self.n / np.maximum(total.n, 1))[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (total.mean - share * self.mean) / (1 - share)
        between = (self.mean - mean) ** 2 * (share * n[:, None])
        m2 = np.maximum(total.m2 - self.m2 - between, 0)
        mean[n == 0], m2[n == 0] = np.nan, 0
        return Moments(n, mean, m2)

    def __add__(self, other: Moments) -> Moments:
        """Groups of both, those of `other` behind."""
        return Moments(
            np.concatenate([self.n, other.n]),
            np.concatenate([self.mean, other.mean]),
            np.concatenate([self.m2, other.m2]),
        )


def moments(
    x: Any,
    codes: np.ndarray,
    n_groups: int,
    *,
    repeats: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Moments:
    """Moments of the rows of `x` by group.

    Parameters
    ----------
    x
        Cells x genes: CSR, CSC or dense in memory, a backed HDF5 or zarr matrix, or a dask array.
        Read once, block by block; never made dense.
    codes
        Group of each row, int ``(cells,)``; negative rows belong to none.
    n_groups
        Number of groups.
    repeats
        How often each row counts, int ``(cells,)``, as a bootstrap draws it; once by default.
    names
        Names of the genes, for the error message.

    Returns
    -------
    Moments in float64. The result has the same bytes for any number of threads.

    Raises
    ------
    ValueError
        If a value is NaN or infinite.
    """
    codes = np.ascontiguousarray(codes, dtype=np.int64)
    if codes.shape != (x.shape[0],):
        raise ValueError(f"`codes` has shape {codes.shape}, the matrix {x.shape[0]} rows.")
    if codes.max(initial=-1) >= n_groups:
        raise ValueError(f"`codes` reach {codes.max()}, there are {n_groups} groups.")
    codes = np.maximum(codes, -1)
    repeats = np.ones(len(codes), np.int64) if repeats is None else repeats
    n = np.zeros(n_groups, np.int64)
    mean = np.zeros((n_groups, x.shape[1]))
    m2 = np.zeros_like(mean)
    for rows, columns, block in blocks_with_progress(x):
        used = codes[rows] >= 0
        n_block = np.bincount(
            codes[rows][used], weights=repeats[rows][used], minlength=n_groups
        ).astype(np.int64)
        _add(block, codes[rows], repeats[rows], n_block, columns.start, n, mean, m2)
        if columns.stop == x.shape[1]:
            n += n_block
    require_finite(mean, m2, names=names)
    mean[n == 0] = np.nan
    return Moments(n, mean, m2)


def _add(
    block: Any,
    codes: np.ndarray,
    repeats: np.ndarray,
    n_block: np.ndarray,
    first_gene: int,
    n: np.ndarray,
    mean: np.ndarray,
    m2: np.ndarray,
) -> None:
    from pertscope._core import _moments_kernels as kernels

    if sp.issparse(block) and block.format not in ("csr", "csc"):
        block = block.tocsr()
    if sp.issparse(block) and not block.has_canonical_format:
        block = block.copy()
        block.sum_duplicates()  # a place that is stored twice holds the sum
    once = bool((repeats == 1).all())
    if sp.issparse(block) and block.format == "csc" and once:
        kernels.add_csc(
            block.data, block.indices, block.indptr, codes, n_block, first_gene, n, mean, m2
        )
        return
    if sp.issparse(block) and block.format == "csc":
        block = block.tocsr()  # its loop knows no repeated rows
        genes = slice(first_gene, first_gene + block.shape[1])
        mean, m2 = mean[:, genes], m2[:, genes]
    parts_in_order = _parts(block, codes, n_block) if sp.issparse(block) and once else None
    if parts_in_order is not None:
        stored = block.data, block.indices, block.indptr
        kernels.add_csr_in_order(*stored, codes, *parts_in_order, ROWS_PER_TASK, n, mean, m2)
        return
    rows, edges, group, slot = _tasks(codes, repeats, n_block)
    parts = np.empty((2, int(slot.max(initial=-1)) + 1, mean.shape[1]))
    if sp.issparse(block):
        stored = block.data, block.indices, block.indptr
        kernels.add_csr(*stored, rows, edges, group, slot, n, mean, m2, *parts)
    else:
        dense = np.asarray(block)
        if dense.dtype == np.float16 or not dense.dtype.isnative:  # unknown to numba
            dense = dense.astype(np.float64)
        kernels.add_dense(dense, rows, edges, group, slot, n, mean, m2, *parts)
    if parts.size:
        kernels.merge_parts(np.diff(edges), group, slot, n, mean, m2, *parts)


def _parts(
    block: Any, codes: np.ndarray, n_block: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Cut rows, as they stand, into parts with sums of their own: edges, and rows of each group.

    ``None`` where the sums of all groups fit no cache, or a part has too many rows of one group.
    """
    n_parts = max(N_PARTS, 2 * -(-int(n_block.max(initial=0)) // ROWS_PER_TASK))
    size = 16 * len(n_block) * block.shape[1]
    if size > CACHED_BYTES or size * n_parts > PARTS_BYTES:
        return None
    edges = np.searchsorted(block.indptr, np.linspace(0, block.indptr[-1], n_parts + 1))
    edges[0], edges[-1] = 0, len(codes)
    part = np.repeat(np.arange(n_parts), np.diff(edges))
    used = codes >= 0
    cells = np.bincount(part[used] * len(n_block) + codes[used], minlength=n_parts * len(n_block))
    if cells.max(initial=0) > ROWS_PER_TASK:
        return None
    return edges, cells.reshape(n_parts, len(n_block))


def _tasks(
    codes: np.ndarray, repeats: np.ndarray, n_block: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cut rows, sorted by group, into tasks of at most `ROWS_PER_TASK` rows of one group."""
    small = codes.astype(np.int16) if len(n_block) < 2**15 else codes  # NumPy sorts int16 by radix
    rows = np.argsort(small, kind="stable")[np.count_nonzero(codes < 0) :]
    if (repeats != 1).any():
        rows = np.repeat(rows, repeats[rows])
    per_group = -(-n_block // ROWS_PER_TASK)
    group = np.repeat(np.arange(len(n_block)), per_group)
    within = np.arange(len(group)) - np.repeat(np.cumsum(per_group) - per_group, per_group)
    starts = (np.cumsum(n_block) - n_block)[group] + within * ROWS_PER_TASK
    edges = np.append(starts, n_block.sum())
    split = per_group[group] > 1
    slot = np.where(split, np.cumsum(split) - 1, -1)
    return rows, edges, group, slot


def require_finite(*values: np.ndarray, names: Sequence[str] | None) -> None:
    """Refuse sums ``(groups, genes)`` that NaN or infinite values went into, and name the genes."""
    bad = np.flatnonzero(~np.all([np.isfinite(v).all(axis=0) for v in values], axis=0))
    if bad.size:
        which = listed(bad if names is None else np.asarray(names)[bad])
        raise ValueError(
            f"expression holds NaN or infinite values in {bad.size} gene(s): {which}. "
            "Remove or impute them first."
        )
