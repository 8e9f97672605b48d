"""Products with a cell matrix of any kind minus its means, which is never made as a whole.

With x the matrix ``(cells, genes)`` and m the mean of each cell's batch, ``c = x - m`` stands for
all that is here. Sparse rows stay sparse: ``c q = x q - m q``. Every sum is taken in an order that
does not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.matrix import blocks_with_progress, dense_rows, is_backed
from pertscope._core.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

N_PARTS = 16
"""Rows of a block are summed in so many parts at most, which may run at once."""
PARTS_BYTES = 256 * 2**20
"""The sums of all parts take no more memory than this, unless one alone does."""
CHUNK_BYTES = 32 * 2**20
"""Rows that are dense at once take no more memory than this."""
TILE = 256
"""Genes x genes that one task adds to at once."""


@dataclass(frozen=True)
class CentredMatrix:
    """A cell matrix minus the mean of each cell's batch.

    Attributes
    ----------
    x
        Cells x all genes: CSR, CSC or dense in memory, backed HDF5 or zarr, or dask; values finite.
    genes
        Genes that count, bool ``(all genes,)``.
    mean
        Mean of each batch, float64 ``(batches, genes that count)``.
    codes
        Batch of each cell, int64 ``(cells,)``.
    """

    x: Any
    genes: np.ndarray
    mean: np.ndarray
    codes: np.ndarray

    def __post_init__(self) -> None:
        """Do once what would otherwise be done in every pass."""
        if not is_backed(self.x):
            x = _prepared(self.x)
            object.__setattr__(self, "x", x if self.genes.all() else x[:, self.genes])
            object.__setattr__(self, "genes", np.ones(self.mean.shape[1], bool))

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes that count."""
        return len(self.codes), self.mean.shape[1]

    @property
    def is_cut_by_genes(self) -> bool:
        """Whether it lies on disk gene after gene, so that no cell can be read by itself."""
        return is_backed(self.x) and getattr(self.x, "format", None) == "csc"

    def times(self, q: np.ndarray) -> np.ndarray:
        """``c q``, float32 ``(cells, d)``, for q float64 ``(genes, d)``; one pass."""
        if self.is_cut_by_genes:
            return self._times_by_genes(q).astype(np.float32)
        q, offset = np.ascontiguousarray(q), self._offset(q)
        result = np.empty((len(self.codes), q.shape[1]), np.float32)
        for rows, _, block in self._blocks():
            if sp.issparse(block):
                from pertscope._core import _centred_matrix_kernels as kernels

                stored = block.data, block.indices, block.indptr
                kernels.times(*stored, self.codes[rows], q, offset, result[rows])
                continue

            def fill(chunk: slice, into: np.ndarray, block: Any, codes: np.ndarray) -> None:
                into[chunk] = self._dense(block, codes, chunk) @ q

            arguments = (result[rows], block, self.codes[rows])
            in_threads(fill, ((chunk, *arguments) for chunk in self._chunks(block.shape[0])))
        return result

    def gram_times(self, q: np.ndarray) -> np.ndarray:
        """``c' c q``, float64 ``(genes, d)``, for q float64 ``(genes, d)``.

        One pass, or two where the matrix is cut by genes.
        """
        result = np.zeros(q.shape)
        if self.is_cut_by_genes:
            y = self._times_by_genes(q)
            for _, genes, block in self._blocks():
                result[genes] = block.T @ y
            return result
        q, offset = np.ascontiguousarray(q), self._offset(q)
        n_parts = int(np.clip(PARTS_BYTES // max(q.nbytes, 1), 1, N_PARTS))
        for rows, _, block in self._blocks():
            edges = np.linspace(0, block.shape[0], n_parts + 1).astype(np.int64)
            codes = self.codes[rows]
            parts: Any
            if sp.issparse(block):
                from pertscope._core import _centred_matrix_kernels as kernels

                parts = np.zeros((n_parts, *q.shape))
                stored = block.data, block.indices, block.indptr
                kernels.gram_times(*stored, codes, q, offset, edges, parts)
            else:
                tasks = ((block, codes, q, a, b) for a, b in pairwise(edges.tolist()))
                parts = in_threads(self._dense_gram_times, tasks)
            for part in parts:
                result += part
        return result

    def gram(self) -> np.ndarray:
        """``c' c``, float64 ``(genes, genes)``; one pass, some cells dense at a time.

        Not of a matrix that is cut by genes.
        """
        n_genes = self.shape[1]
        result = np.zeros((n_genes, n_genes))
        edges = [slice(a, min(a + TILE, n_genes)) for a in range(0, n_genes, TILE)]
        tiles = list(combinations_with_replacement(edges, 2))

        def add(dense: np.ndarray, a: slice, b: slice) -> None:
            result[a, b] += dense[:, a].T @ dense[:, b]

        for rows, _, block in self._blocks():
            for chunk in self._chunks(block.shape[0]):
                dense = self._dense(block, self.codes[rows], chunk)
                in_threads(add, [(dense, a, b) for a, b in tiles])
        for a, b in tiles:
            result[b, a] = result[a, b].T
        return result

    def _offset(self, q: np.ndarray) -> np.ndarray:
        """What the means contribute, by one thread: several differ in their last digits."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return self.mean @ q

    def _times_by_genes(self, q: np.ndarray) -> np.ndarray:
        result = -self._offset(q)[self.codes]
        for _, genes, block in self._blocks():
            result += block @ q[genes]
        return result

    def _blocks(self) -> Iterator[tuple[slice, slice, Any]]:
        """Blocks in memory with their rows and their genes among those that count."""
        place = np.append(0, np.cumsum(self.genes))
        for rows, columns, block in blocks_with_progress(self.x):
            chosen = self.genes[columns]
            taken = block if chosen.all() else block[:, chosen]
            genes = slice(int(place[columns.start]), int(place[columns.stop]))
            yield rows, genes, taken if self.is_cut_by_genes else _prepared(taken)

    def _chunks(self, n_rows: int) -> list[slice]:
        size = max(1, CHUNK_BYTES // (8 * max(self.shape[1], 1)))
        return [slice(a, min(a + size, n_rows)) for a in range(0, n_rows, size)]

    def _dense(self, block: Any, codes: np.ndarray, rows: slice) -> np.ndarray:
        """Some rows of a block, dense and centred."""
        chosen = np.arange(rows.start, rows.stop)
        return dense_rows(block, chosen, np.float64) - self.mean[codes[rows]]

    def _dense_gram_times(
        self, block: Any, codes: np.ndarray, q: np.ndarray, start: int, stop: int
    ) -> np.ndarray:
        result = np.zeros(q.shape)
        for chunk in self._chunks(stop - start):
            rows = slice(start + chunk.start, start + chunk.stop)
            dense = self._dense(block, codes, rows)
            result += dense.T @ (dense @ q)
        return result


def _prepared(block: Any) -> Any:
    """CSR, of a type that numba knows, or an array."""
    if not sp.issparse(block):
        return np.asarray(block)
    csr = block.tocsr()
    return csr if csr.data.dtype.isnative else csr.astype(csr.data.dtype.newbyteorder("="))
