"""Matrices of every kind, and their moments by loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import dask.array as da
import numpy as np
import scipy.sparse as sp
import zarr

from pertscope._core.moments import Moments

if TYPE_CHECKING:
    from pathlib import Path

N_GROUPS = 4
KINDS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}


def by_loop(x: np.ndarray, codes: np.ndarray, n_groups: int = N_GROUPS) -> Moments:
    """The definition, group by group; integers exactly, floats by NumPy's two passes."""
    x = np.asarray(x, dtype=np.float64)
    n = np.array([(codes == g).sum() for g in range(n_groups)])
    mean = np.full((n_groups, x.shape[1]), np.nan)
    m2 = np.zeros_like(mean)
    for g in np.flatnonzero(n):
        rows = x[codes == g]
        mean[g] = rows.mean(axis=0)
        m2[g] = ((rows - mean[g]) ** 2).sum(axis=0)
    return Moments(n, mean, m2)


def assert_close(got: Moments, want: Moments, rtol: float = 1e-11) -> None:
    """Equal up to a share of the mean square, which is what any sum of squares is good for."""
    np.testing.assert_array_equal(got.n, want.n)
    np.testing.assert_array_equal(np.isnan(got.mean), np.isnan(want.mean))
    filled = want.n > 0
    square = want.variance[filled] + want.mean[filled] ** 2
    error = np.abs(got.mean - want.mean)[filled]
    np.testing.assert_array_less(error, rtol * np.sqrt(square) + 1e-300)
    error = np.abs(got.variance - want.variance)[filled]
    np.testing.assert_array_less(error, rtol * want.variance[filled] + 1e-12 * square + 1e-300)


def assert_same_bytes(a: Moments, b: Moments) -> None:
    for name in ("n", "mean", "m2"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


def lazy(kind: str, x: np.ndarray, folder: Path) -> object:
    """`x` as a matrix that is not in memory."""
    store, form = kind.split()
    if store == "dask":
        array = da.from_array(x, chunks=(70, 5 if form == "dense" else x.shape[1]))
        return array if form == "dense" else array.map_blocks(KINDS[form])
    matrix_ = KINDS[form](x)
    if store == "h5ad":
        ad.AnnData(matrix_).write_h5ad(folder / "x.h5ad")
        return ad.read_h5ad(folder / "x.h5ad", backed="r").X
    group = zarr.open_group(folder / "x.zarr", mode="w", zarr_format=2)
    ad.io.write_elem(group, "X", matrix_)
    return group["X"] if form == "dense" else ad.io.sparse_dataset(group["X"])
