"""Read rows of a matrix as batches of tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch


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
    """

    values: torch.Tensor
    places: torch.Tensor
    shape: tuple[int, int]

    def to(self, device: torch.device) -> SparseBatch:
        """Copy to a device."""
        return SparseBatch(self.values.to(device), self.places.to(device), self.shape)


class Rows:
    """Rows of a matrix in memory, handed out as tensors.

    Parameters
    ----------
    x
        Cells x genes: CSR, CSC or dense.
    """

    def __init__(self, x: Any) -> None:
        self.x = _canonical(x) if sp.issparse(x) else np.asarray(x, np.float32)

    def __call__(self, rows: np.ndarray) -> torch.Tensor | SparseBatch:
        """Rows in this order, dense or sparse as the matrix is."""
        if not sp.issparse(self.x):
            return torch.from_numpy(self.x[rows])
        block = self.x[rows]
        n_rows, n_columns = block.shape
        first = np.repeat(np.arange(n_rows, dtype=np.int64) * n_columns, np.diff(block.indptr))
        places = torch.from_numpy(first + block.indices)
        return SparseBatch(torch.from_numpy(block.data), places, (n_rows, n_columns))


def dense(batch: torch.Tensor | SparseBatch) -> torch.Tensor:
    """The batch as a dense tensor, made on the device where its values are."""
    if not isinstance(batch, SparseBatch):
        return batch
    flat = torch.zeros(batch.shape[0] * batch.shape[1], device=batch.values.device)
    return flat.scatter_(0, batch.places, batch.values).view(batch.shape)


def _canonical(x: Any) -> Any:
    """CSR in float32 with each place stored once: a place that is stored twice would be lost."""
    csr = sp.csr_matrix(x, dtype=np.float32)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr
