"""Wilcoxon's rank-sum test of every group against its reference, all groups and genes at once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.gene_test import GeneTest, adjust_p_values
from pertscope._core.matrix import is_backed
from pertscope._core.messages import listed
from pertscope._core.moments import _with_progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TILE_BYTES = 512 * 2**20
"""Genes are tested in tiles that take no more memory than this."""
ROWS_PER_TASK = 4096
"""A group of more rows than this is shared between threads."""
PLACE_BYTES = 32
"""Memory that a group takes for a gene of a tile, beside its values."""


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
        once per tile of `TILE_BYTES`; stored as CSC, twice in all.
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
    for tile, *values in _tiles(x, codes, n_groups):
        doubled_u, ties = _compare(*values, n, reference, has_nan[tile])
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


def _tiles(
    x: Any, codes: np.ndarray, n_groups: int
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Cut the genes into tiles of at most `TILE_BYTES`.

    Yields ``(genes, values, stored)``: the non-zero values by gene and group, and how many there
    are, int64 ``(groups, genes)``.
    """
    if not is_backed(x):
        x = _prepared(x)
    stored = np.zeros((n_groups, x.shape[1]), np.int64)
    for rows, columns, block in _with_progress(x):
        source = _Source(_prepared(block), codes[rows], n_groups)
        source.count(slice(0, columns.stop - columns.start), stored[:, columns])
    dtype = _float_type(x.dtype)
    n_bytes = stored.sum(axis=0) * dtype.itemsize + n_groups * PLACE_BYTES
    for tile in _cut(n_bytes):
        by_gene = stored[:, tile].T
        stops = np.cumsum(by_gene).reshape(by_gene.shape)
        place = np.ascontiguousarray((stops - by_gene).T)
        values = np.empty(by_gene.sum(), dtype)
        for rows, genes, block in _blocks_of(x, tile):
            _Source(_prepared(block), codes[rows], n_groups).move(genes, place, values)
        yield tile, values, stored[:, tile]


def _cut(n_bytes: np.ndarray) -> Iterator[slice]:
    """Slices of neighbours that sum to `TILE_BYTES` or less, or hold one that alone is more."""
    start = total = 0
    for stop, size in enumerate(n_bytes.tolist()):
        if stop > start and total + size > TILE_BYTES:
            yield slice(start, stop)
            start, total = stop, 0
        total += size
    if len(n_bytes):
        yield slice(start, len(n_bytes))


def _blocks_of(x: Any, tile: slice) -> Iterator[tuple[slice, slice, Any]]:
    """Yield ``(rows, columns of the block, block)`` that cover a tile of genes."""
    if is_backed(x) and getattr(x, "format", None) == "csc":
        yield slice(None), slice(0, tile.stop - tile.start), x[:, tile]
        return
    for rows, _, block in _with_progress(x):
        yield rows, tile, block


def _prepared(block: Any) -> Any:
    """CSR or CSC with sorted indices that are stored once, or an array that numba knows."""
    if not sp.issparse(block):
        dense = np.asarray(block)
        known = dense.dtype != np.float16 and dense.dtype.isnative
        return dense if known else dense.astype(_float_type(dense.dtype))
    if block.format not in ("csr", "csc"):
        block = block.tocsr()
    if not block.has_canonical_format:
        block = block.copy()
        block.sum_duplicates()
    return block


def _float_type(dtype: np.dtype) -> np.dtype:
    """The smaller of float32 and float64 that holds all values of a type."""
    return np.result_type(dtype, np.float32).newbyteorder("=")


class _Source:
    """A block in memory whose values are counted and moved by group and gene."""

    def __init__(self, block: Any, codes: np.ndarray, n_groups: int) -> None:
        from pertscope._core import _rank_sum_kernels as kernels

        self.by_column = getattr(block, "format", None) == "csc"
        if sp.issparse(block):
            stored = block.data, block.indices, block.indptr
            self._count, self._move = kernels.count_csr, kernels.move_csr
        else:
            stored = (block,)
            self._count, self._move = kernels.count_dense, kernels.move_dense
        if self.by_column:
            self._count, self._move = kernels.count_csc, kernels.move_csc
            self._from = *stored, codes
            return
        rows, edges, self.group = _tasks(codes, n_groups)
        self._from = *stored, rows, edges

    def count(self, genes: slice, counts: np.ndarray) -> None:
        """Add the number of non-zero values to `counts`, ``(groups, genes)``."""
        if self.by_column:
            self._count(*self._from, genes.start, counts)
        else:
            np.add.at(counts, self.group, self._by_task(genes))

    def move(self, genes: slice, place: np.ndarray, values: np.ndarray) -> None:
        """Put non-zero values at their `place`, ``(groups, genes)``, which advances."""
        if self.by_column:
            self._move(*self._from, genes.start, place, values)
            return
        places = place[self.group]
        first = np.searchsorted(self.group, self.group)  # the first task of the same group
        if (first != np.arange(len(first))).any():
            counts = self._by_task(genes)
            before = np.cumsum(counts, axis=0) - counts
            places += before - before[first]
        self._move(*self._from, genes.start, places, values)
        place[self.group] = places  # of a group's tasks the last one counts

    def _by_task(self, genes: slice) -> np.ndarray:
        counts = np.zeros((len(self.group), genes.stop - genes.start), np.int64)
        self._count(*self._from, genes.start, counts)
        return counts


def _tasks(codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut rows, sorted by group, into tasks of at most `ROWS_PER_TASK` rows of one group.

    Task t holds ``rows[edges[t]:edges[t + 1]]``, all of ``group[t]``.
    """
    small = codes.astype(np.int16) if n_groups < 2**15 else codes  # NumPy sorts int16 by radix
    rows = np.argsort(small, kind="stable")[np.count_nonzero(codes < 0) :]
    n = np.bincount(codes[rows], minlength=n_groups)
    starts = [
        range(start, start + size, ROWS_PER_TASK)
        for start, size in zip((np.cumsum(n) - n).tolist(), n.tolist(), strict=True)
    ]
    group = np.repeat(np.arange(n_groups), [len(s) for s in starts])
    edges = np.array([*itertools.chain.from_iterable(starts), len(rows)])
    return rows, edges, group


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
    labels = np.arange(len(n), dtype=np.min_scalar_type(len(n)))
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
