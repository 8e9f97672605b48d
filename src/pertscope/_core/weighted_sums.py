"""Weighted sums of rows by group, in one pass over a matrix of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.matrix import blocks_with_progress
from pertscope._core.moments import require_finite

if TYPE_CHECKING:
    from collections.abc import Sequence


def weighted_sums(
    x: Any,
    codes: np.ndarray,
    weights: np.ndarray,
    n_groups: int,
    *,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """``sum over the rows i of a group of weights_i x_i``, float64 ``(groups, genes)``.

    Parameters
    ----------
    x
        Cells x genes: CSR, CSC or dense in memory, a backed matrix, or a dask array. Read once,
        block by block; never made dense.
    codes
        Group of each row, int64 ``(cells,)``; negative rows belong to none.
    weights
        float64 ``(cells,)``.
    n_groups
        Number of groups.
    names
        Names of the genes, for the error message.

    Raises
    ------
    ValueError
        If a value is NaN or infinite.
    """
    from pertscope._core import _weighted_sums_kernels as kernels

    sums = np.zeros((n_groups, x.shape[1]))
    for rows, columns, block in blocks_with_progress(x):
        of, w = codes[rows], np.ascontiguousarray(weights[rows], dtype=np.float64)
        order = np.argsort(of, kind="stable")
        edges = np.searchsorted(of[order], np.arange(n_groups + 1))
        if sp.issparse(block):
            csr = block.tocsr()
            stored = csr.data, csr.indices, csr.indptr
            kernels.add_csr(*stored, order, edges, w, columns.start, sums)
        else:
            dense = np.asarray(block)
            if dense.dtype == np.float16 or not dense.dtype.isnative:  # unknown to numba
                dense = dense.astype(np.float64)
            kernels.add_dense(dense, order, edges, w, columns.start, sums)
    require_finite(sums, names=names)
    return sums
