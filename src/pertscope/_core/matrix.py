"""Expression matrices of every kind an AnnData can hold, read in blocks.

A block is what NumPy or SciPy hold in memory: a CSR or CSC matrix or a two-dimensional array.
Nothing here makes a sparse matrix dense except :func:`dense_rows`, a batch at a time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.messages import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

BLOCK_BYTES = 256 * 2**20
"""Target size of a block that is read from disk."""


def matrix_of(adata: AnnData, layer: str | None) -> Any:
    """Return ``adata.X`` or ``adata.layers[layer]``, whatever it is stored as."""
    if layer is None:
        if adata.X is None:
            raise ValueError("the AnnData has no `.X`: register the `layer` that holds expression.")
        return adata.X
    if layer not in adata.layers:
        raise KeyError(f"`.layers` has no {layer!r}; {nearest(layer, adata.layers)}.")
    return adata.layers[layer]


def is_backed(x: Any) -> bool:
    """Whether `x` lies on disk or in a task graph instead of in memory."""
    return not isinstance(x, np.ndarray) and not sp.issparse(x)


def row_block(x: Any, start: int, stop: int) -> Any:
    """Rows ``start:stop`` of `x`, in memory."""
    block = x[start:stop]
    if hasattr(block, "compute"):
        block = block.compute()
    return block


def blocks(x: Any, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, slice, Any]]:
    """Yield ``(rows, columns, block)`` that cover `x` once, each block in memory.

    A matrix in memory is one block. What lies on disk is cut along its storage: rows of CSR, dense
    and dask, columns of CSC.
    """
    n_rows, n_columns = x.shape
    if not is_backed(x):
        yield slice(0, n_rows), slice(0, n_columns), x
        return
    if getattr(x, "format", None) == "csc":
        for columns in _even_slices(n_columns, _sparse_bytes(x), block_bytes):
            yield slice(0, n_rows), columns, x[:, columns]
        return
    if hasattr(x, "chunks") and hasattr(x, "compute"):  # dask: its own chunks, one after the other
        start = 0
        for size in x.chunks[0]:
            yield slice(start, start + size), slice(0, n_columns), row_block(x, start, start + size)
            start += size
        return
    total = _sparse_bytes(x) if hasattr(x, "format") else x.dtype.itemsize * n_rows * n_columns
    for rows in _even_slices(n_rows, total, block_bytes):
        yield rows, slice(0, n_columns), row_block(x, rows.start, rows.stop)


def blocks_with_progress(x: Any) -> Iterator[tuple[slice, slice, Any]]:
    """Blocks of :func:`blocks`, with a progress bar where they come from disk."""
    from tqdm.auto import tqdm

    bar = tqdm(
        total=x.shape[0] * x.shape[1],
        desc="reading",
        unit="value",
        unit_scale=True,
        disable=not is_backed(x),
        leave=False,
    )
    with bar:
        for rows, columns, block in blocks(x):
            yield rows, columns, block
            bar.update((rows.stop - rows.start) * (columns.stop - columns.start))


def _sparse_bytes(x: Any) -> int:
    """Bytes of a stored sparse matrix, from its file's header alone."""
    data = x.group["data"]
    return int(data.shape[0]) * (data.dtype.itemsize + x.group["indices"].dtype.itemsize)


def _even_slices(n: int, total_bytes: int, block_bytes: int) -> Iterator[slice]:
    n_blocks = max(1, min(n, -(-total_bytes // block_bytes)))
    edges = np.linspace(0, n, n_blocks + 1).astype(int)
    for start, stop in pairwise(edges):
        yield slice(int(start), int(stop))


def stored_sample(x: Any, n_rows: int = 256) -> np.ndarray:
    """Stored values of the first `n_rows` rows: enough to tell counts from logged values."""
    if getattr(x, "format", None) == "csc" and is_backed(x):
        block = x[:, : min(64, x.shape[1])]
    else:
        block = row_block(x, 0, min(n_rows, x.shape[0]))
    return np.asarray(block.data if sp.issparse(block) else block).ravel()


def looks_like_counts(x: Any) -> bool:
    """Whether the stored values are all non-negative integers and some exceed one."""
    values = stored_sample(x)
    if values.size == 0 or values.min() < 0:
        return False
    return bool(values.max() > 1 and np.array_equal(values, np.rint(values)))


def refuse_counts(adata: AnnData, layer: str | None, for_what: str) -> None:
    """Raise where the registered layer holds counts and `for_what` needs a log scale."""
    if looks_like_counts(matrix_of(adata, layer)):
        where = "`.X`" if layer is None else f"layer {layer!r}"
        raise ValueError(
            f"{where} holds integer counts, {for_what} needs log-normalised values: call "
            "`ps.pp.normalize(adata)`, or register the layer that holds them."
        )


def dense_rows(x: Any, rows: np.ndarray, dtype: type[np.floating[Any]] = np.float32) -> np.ndarray:
    """Rows of a matrix as `dtype`, in memory; the one place where sparse becomes dense."""
    block = x[rows]
    if hasattr(block, "compute"):
        block = block.compute()
    return np.asarray(block.toarray() if sp.issparse(block) else block, dtype=dtype)
