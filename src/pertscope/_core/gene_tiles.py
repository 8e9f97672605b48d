"""Non-zero values by gene and group, a tile of genes at a time, from a matrix of any kind."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.matrix import blocks_with_progress, is_backed

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE_BYTES = 512 * 2**20
"""A tile takes no more memory than this."""
ROWS_PER_TASK = 4096
"""A group of more rows than this is shared between threads."""
PLACE_BYTES = 32
"""Memory that a group takes for a gene of a tile, beside its values."""


def gene_tiles(
    x: Any, codes: np.ndarray, n_groups: int
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Cut the genes into tiles of at most `TILE_BYTES`.

    Parameters
    ----------
    x
        Cells x genes, of any kind. One pass counts; each tile takes another one, but for columns
        on disk, of which a tile reads only its own.
    codes
        Group of each row, int64 ``(cells,)``; -1 for none.
    n_groups
        Number of groups.

    Yields
    ------
    ``(genes, values, stored)``: a slice, the non-zero values gene after gene and in each gene group
    after group, float32 or float64, and how many there are, int64 ``(groups, genes)``.
    """
    if not is_backed(x):
        x = _prepared(x)
    stored = np.zeros((n_groups, x.shape[1]), np.int64)
    for rows, columns, block in blocks_with_progress(x):
        source = _Source(_prepared(block), codes[rows], n_groups)
        counts = source.count(slice(0, columns.stop - columns.start))
        np.add.at(stored[:, columns], source.group, counts)
    dtype = _float_type(x.dtype)
    n_bytes = stored.sum(axis=0) * dtype.itemsize + n_groups * PLACE_BYTES
    for tile in _cut(n_bytes):
        in_tile = np.ascontiguousarray(stored[:, tile])
        by_gene = in_tile.T
        stops = np.cumsum(by_gene).reshape(by_gene.shape)
        place = np.ascontiguousarray((stops - by_gene).T)
        values = np.empty(by_gene.sum(), dtype)
        for rows, genes, block in _blocks_of(x, tile):
            _Source(_prepared(block), codes[rows], n_groups).move(genes, place, values)
        yield tile, values, in_tile


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
    for rows, _, block in blocks_with_progress(x):
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
    """A block in memory whose values are counted and moved, by tasks that each hold one group."""

    def __init__(self, block: Any, codes: np.ndarray, n_groups: int) -> None:
        from pertscope._core import _rank_sum_kernels as kernels

        self._kernels: tuple[Any, Any]
        self._from: tuple[Any, ...]
        if getattr(block, "format", None) == "csc":
            self._kernels = kernels.count_csc, kernels.move_csc
            self._from = block.data, block.indices, block.indptr, codes
            self.group = np.arange(n_groups)
            return
        rows, edges, self.group = _tasks(codes, n_groups)
        if sp.issparse(block):
            self._kernels = kernels.count_csr, kernels.move_csr
            self._from = block.data, block.indices, block.indptr, rows, edges
        else:
            self._kernels = kernels.count_dense, kernels.move_dense
            self._from = block, rows, edges

    def count(self, genes: slice) -> np.ndarray:
        """Non-zero values, int64 ``(tasks, genes)``."""
        counts = np.zeros((len(self.group), genes.stop - genes.start), np.int64)
        self._kernels[0](*self._from, genes.start, counts)
        return counts

    def move(self, genes: slice, place: np.ndarray, values: np.ndarray) -> None:
        """Put non-zero values at their `place`, ``(groups, genes)``, which advances."""
        places = place[self.group]
        first = np.searchsorted(self.group, self.group)  # the first task of the same group
        if (first != np.arange(len(first))).any():
            counts = self.count(genes)
            before = np.cumsum(counts, axis=0) - counts
            places += before - before[first]
        self._kernels[1](*self._from, genes.start, places, values)
        last = np.searchsorted(self.group, self.group, side="right") - 1
        place[self.group] = places[last]


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
