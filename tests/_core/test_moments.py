"""Moments: one truth for every kind of matrix."""

from __future__ import annotations

from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests._core.matrices import KINDS, N_GROUPS, assert_close, assert_same_bytes, by_loop, lazy
from tests.helpers import dense

from pertscope._core import matrix
from pertscope._core.moments import Moments, moments

IN_MEMORY = {
    "csr": sp.csr_matrix,
    "csr array": sp.csr_array,
    "csc": sp.csc_matrix,
    "coo": sp.coo_matrix,
    "dense": np.asarray,
    "fortran": np.asfortranarray,
}
DTYPES = ("float32", "float64", "int64", "bool")


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """Counts with empty cells and empty genes, int64 ``(300, 12)``."""
    rng = np.random.default_rng(0)
    x = rng.poisson(0.7, (300, 12))
    x[rng.random(300) < 0.1] = 0
    x[:, 3] = 0
    return x


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    """Groups 0 to 2, none, and group 3 without cells."""
    return np.random.default_rng(1).integers(-1, 3, 300)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_a_loop(counts, codes, kind, dtype) -> None:
    x = counts.astype(dtype)
    got = moments(KINDS[kind](x), codes, N_GROUPS)
    assert_close(got, by_loop(x, codes))
    assert got.n.dtype == np.int64
    assert got.mean.dtype == got.m2.dtype == np.float64
    assert np.isnan(got.mean[3]).all()
    assert np.isnan(got.variance[3]).all()
    np.testing.assert_allclose(
        got.variance[:3], [x[codes == g].var(axis=0, dtype=float) for g in range(3)]
    )


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_every_matrix_in_memory(counts, codes, kind) -> None:
    x = np.log1p(counts).astype(np.float32)
    assert_close(moments(IN_MEMORY[kind](x), codes, N_GROUPS), by_loop(x, codes))


@pytest.mark.parametrize("dtype", ["float16", ">f4"])
def test_dtypes_unknown_to_numba(counts, codes, dtype) -> None:
    x = counts.astype(dtype)
    assert_close(moments(x, codes, N_GROUPS), by_loop(x, codes))


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_wide_and_unsorted_indices(counts, codes, kind) -> None:
    x = KINDS[kind](counts.astype(np.float32))
    order = np.concatenate(
        [np.arange(b - 1, a - 1, -1) for a, b in zip(x.indptr[:-1], x.indptr[1:], strict=True)]
    ).astype(int)
    data, indices, indptr = x.data[order], x.indices[order].astype(np.int64), x.indptr
    unsorted = type(x)(x.shape, dtype=x.dtype)
    unsorted.data, unsorted.indices, unsorted.indptr = data, indices, indptr.astype(np.int64)
    assert unsorted.indices.dtype == np.int64
    assert not unsorted.has_sorted_indices
    assert_close(moments(unsorted, codes, N_GROUPS), by_loop(counts, codes))


def test_explicit_zeros_change_nothing(counts, codes) -> None:
    for kind in ("csr", "csc"):
        x = KINDS[kind](counts.astype(np.float32))
        x.data[::3] = 0
        assert_close(moments(x, codes, N_GROUPS), by_loop(dense(x), codes))


# -- on disk and in task graphs --------------------------------------------------------------------


LAZY = [f"{s} {f}" for s in ("h5ad", "zarr") for f in KINDS] + ["dask dense", "dask csr"]


@pytest.mark.parametrize("kind", LAZY)
def test_every_matrix_out_of_memory(counts, codes, kind, tmp_path, monkeypatch) -> None:
    x = np.log1p(counts).astype(np.float32)
    stored = lazy(kind, x, tmp_path)
    assert matrix.is_backed(stored)
    for block_bytes in (400, 10**9):
        monkeypatch.setattr(matrix.blocks, "__defaults__", (block_bytes,))
        assert_close(moments(stored, codes, N_GROUPS), by_loop(x, codes))


def test_blocks_of_genes_give_the_same_bytes(counts, codes, tmp_path, monkeypatch) -> None:
    x = np.log1p(counts)
    stored = lazy("h5ad csc", x, tmp_path)
    monkeypatch.setattr(matrix.blocks, "__defaults__", (400,))
    assert_same_bytes(moments(stored, codes, N_GROUPS), moments(sp.csc_matrix(x), codes, N_GROUPS))


def test_reads_an_h5py_dataset(counts, codes, tmp_path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", data=counts)
        assert_close(moments(stored, codes, N_GROUPS), by_loop(counts, codes))


def test_pooled_batches_are_conditions(devel) -> None:
    batch = devel.obs["cell_type"].cat.codes.to_numpy(np.int64)
    condition = devel.obs["condition"].cat.codes.to_numpy(np.int64)
    n_batches, n_conditions = batch.max() + 1, condition.max() + 1
    fine = moments(devel.X, condition * n_batches + batch, n_conditions * n_batches)
    pooled = fine.pool(np.arange(len(fine.n)) // n_batches, n_conditions)
    assert_close(pooled, moments(devel.X, condition, n_conditions))
    assert_close(fine[[3, 5]], Moments(fine.n[[3, 5]], fine.mean[[3, 5]], fine.m2[[3, 5]]))


@pytest.mark.filterwarnings("ignore")
def test_equal_to_scanpy(devel) -> None:
    import scanpy as sc

    table = sc.get.aggregate(devel, by="condition", func=["mean", "var"], dof=0)
    codes = pd.Categorical(devel.obs["condition"], categories=table.obs_names).codes
    got = moments(devel.X, codes, table.n_obs)
    np.testing.assert_allclose(got.mean, dense(table.layers["mean"]), rtol=1e-10)
    np.testing.assert_allclose(got.variance, dense(table.layers["var"]), rtol=1e-8, atol=1e-12)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_not_finite_are_named(kind, bad) -> None:
    x = np.ones((6, 3))
    x[4, 1] = bad
    with pytest.raises(ValueError, match=r"NaN or infinite values in 1 gene.*'g1'"):
        moments(KINDS[kind](x), np.zeros(6, int), 1, names=["g0", "g1", "g2"])
    codes = np.array([0, 0, 0, 0, -1, 0])  # rows of no group are not judged
    assert (moments(KINDS[kind](x), codes, 1).mean == 1).all()


@pytest.mark.parametrize(
    ("codes", "match"),
    [(np.zeros(5, int), "shape .5,., the matrix 6 rows"), (np.full(6, 2), "reach 2, there are 2")],
)
def test_codes_that_do_not_fit_are_refused(codes, match) -> None:
    with pytest.raises(ValueError, match=match):
        moments(np.ones((6, 3)), codes, 2)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_empty_matrices(shape) -> None:
    for kind in KINDS.values():
        got = moments(kind(np.ones(shape)), np.zeros(shape[0], int), 2)
        assert got.mean.shape == (2, shape[1])
        assert got.n[0] == shape[0]


TWICE = {
    "csr": sp.csr_matrix(([1.0, 2.0, 5.0, 4.0], [1, 1, 0, 1], [0, 2, 3, 4]), (3, 2)),
    "csc": sp.csc_matrix(([5.0, 1.0, 2.0, 4.0], [1, 0, 0, 2], [0, 1, 4]), (3, 2)),
}


@pytest.mark.parametrize("kind", TWICE)
def test_values_stored_twice_count_as_their_sum(kind) -> None:
    found = moments(TWICE[kind], np.zeros(3, int), 1)
    expected = np.array([[0.0, 3.0], [5.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(found.mean[0], expected.mean(axis=0))
    np.testing.assert_allclose(found.variance[0], expected.var(axis=0))


@pytest.mark.parametrize("kind", ["csr", "csc", "dense", "backed csc"])
def test_repeated_rows_count_as_often(kind: str, tmp_path: Any) -> None:
    rng = np.random.default_rng(3)
    x = sp.random(40, 7, density=0.4, format="csr", random_state=rng, dtype=np.float32)
    codes, repeats = rng.integers(-1, 4, 40), rng.integers(0, 4, 40)
    rows = np.repeat(np.arange(40), repeats)
    expected = moments(x[rows], codes[rows], 4)
    matrix: Any = {"csr": x, "csc": x.tocsc(), "dense": x.toarray()}.get(kind)
    if matrix is None:
        ad.AnnData(x.tocsc()).write_h5ad(tmp_path / "x.h5ad")
        matrix = ad.read_h5ad(tmp_path / "x.h5ad", backed="r").X
    found = moments(matrix, codes, 4, repeats=repeats)
    np.testing.assert_array_equal(found.n, expected.n)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.m2, expected.m2, rtol=1e-9, atol=1e-12)
