"""Read rows of a matrix as batches of tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from pertscope._core.matrix import blocks_with_progress


class SparseBatch(NamedTuple):
    """Stored values of some rows, with their place in the flattened dense batch.

    Attributes
    ----------
    values
        float32 ``(stored values,)``.
    places
        ``row * n_columns + column``, int64 ``(stored values,)``.
    shape
        Shape of the dense batch.
    summed
        Whether a place may occur more than once: its values add up.
    """

    values: torch.Tensor
    places: torch.Tensor
    shape: tuple[int, int]
    summed: bool = False

    def to(self, device: torch.device) -> SparseBatch:
        """Copy to a device."""
        return self._replace(values=self.values.to(device), places=self.places.to(device))


class Rows:
    """Rows of a matrix in memory, handed out as tensors.

    Parameters
    ----------
    x
        Cells x genes: CSR, CSC or dense.
    held
        Sorted rows to hold, where `x` lies on disk; they are read in one pass over it.
    """

    def __init__(self, x: Any, held: np.ndarray | None = None) -> None:
        self.held = held
        x = x if held is None else _read(x, held)
        self.x = _canonical(x) if sp.issparse(x) else np.asarray(x, np.float32)
        _require_finite(self.x)

    def __call__(self, rows: np.ndarray) -> torch.Tensor | SparseBatch:
        """Rows in this order, dense or sparse as the matrix is.

        Rows ``(cells, n)`` in place of ``(cells,)`` are averaged over n.
        """
        if self.held is not None:
            rows = np.searchsorted(self.held, rows)
        n = rows.shape[1] if rows.ndim == 2 else 1
        block = self.x[rows.ravel()]
        if not sp.issparse(block):
            shape = (len(rows), n, self.x.shape[1])
            return torch.from_numpy(block if n == 1 else block.reshape(shape).mean(axis=1))
        return sparse_batch(block, n)


def sparse_batch(block: Any, n: int = 1) -> SparseBatch:
    """Canonical CSR as a batch; every `n` rows that follow each other are averaged."""
    n_rows, n_columns = block.shape
    row = np.arange(n_rows, dtype=np.int64) // n
    places = torch.from_numpy(np.repeat(row * n_columns, np.diff(block.indptr)) + block.indices)
    values = block.data if n == 1 else block.data / np.float32(n)
    return SparseBatch(torch.from_numpy(values), places, (n_rows // n, n_columns), n > 1)


def dense(batch: torch.Tensor | SparseBatch) -> torch.Tensor:
    """The batch as a dense tensor, made on the device where its values are."""
    if not isinstance(batch, SparseBatch):
        return batch
    flat = torch.zeros(batch.shape[0] * batch.shape[1], device=batch.values.device)
    fill = flat.scatter_add_ if batch.summed else flat.scatter_
    return fill(0, batch.places, batch.values).view(batch.shape)


def _canonical(x: Any) -> Any:
    """CSR in float32 with each place stored once: a place that is stored twice would be lost."""
    csr = sp.csr_matrix(x, dtype=np.float32)
    if csr.indptr.dtype != csr.indices.dtype:  # else SciPy converts all of them for every batch
        kind = np.int32 if max(csr.nnz, csr.shape[1]) < 2**31 else np.int64
        indices, indptr = csr.indices.astype(kind, copy=False), csr.indptr.astype(kind, copy=False)
        csr = sp.csr_matrix((csr.data, indices, indptr), shape=csr.shape)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _require_finite(x: Any) -> None:
    """Refuse NaN and infinity: they would end as a loss that is no number."""
    values = x.data if sp.issparse(x) else x
    if not np.isfinite(values).all():
        where = np.argwhere(~np.isfinite(values))[0][0]
        row = np.searchsorted(x.indptr, where, side="right") - 1 if sp.issparse(x) else where
        raise ValueError(
            f"the matrix holds NaN or infinite values, first in row {row} (counted from 0 in what "
            "is read): drop or fill them first."
        )


def _read(x: Any, held: np.ndarray) -> Any:
    """Some rows of a matrix on disk that is cut along its rows."""
    parts = []
    for rows, _, block in blocks_with_progress(x):
        first, last = np.searchsorted(held, [rows.start, rows.stop])
        parts.append(block[held[first:last] - rows.start])
    return sp.vstack(parts, format="csr") if sp.issparse(parts[0]) else np.concatenate(parts)
