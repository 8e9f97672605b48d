"""Moments: one truth for every kind of matrix, same bytes for any number of threads."""

from __future__ import annotations

import anndata as ad
import dask.array as da
import h5py
import numba
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.helpers import dense

from pertscope._core import matrix
from pertscope._core import moments as moments_file
from pertscope._core.moments import Moments, moments

N_GROUPS = 4
IN_MEMORY = {
    "csr": sp.csr_matrix,
    "csr array": sp.csr_array,
    "csc": sp.csc_matrix,
    "coo": sp.coo_matrix,
    "dense": np.asarray,
    "fortran": np.asfortranarray,
}
DTYPES = ("float32", "float64", "int64", "bool")
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
    """Variances up to a share of the mean square, which is what any sum of squares is good for."""
    np.testing.assert_array_equal(got.n, want.n)
    np.testing.assert_allclose(got.mean, want.mean, rtol=rtol, atol=1e-300)
    filled = np.nan_to_num(want.mean)
    scale = want.m2 + 1e-3 * want.n[:, None] * filled**2
    np.testing.assert_array_less(np.abs(got.m2 - want.m2), rtol * scale + 1e-300)


def assert_same_bytes(a: Moments, b: Moments) -> None:
    for name in ("n", "mean", "m2"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


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


def lazy(kind: str, x: np.ndarray, folder) -> object:
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


# -- exactness -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_same_bytes_for_any_number_of_threads(kind, rng, monkeypatch) -> None:
    monkeypatch.setattr(moments_file, "ROWS_PER_TASK", 64)
    x = KINDS[kind](np.log1p(rng.poisson(1, (3000, 7))))
    codes = rng.integers(-1, N_GROUPS, 3000)
    threads = numba.get_num_threads()
    results = []
    try:
        for n in {1, threads}:
            numba.set_num_threads(n)
            results.append(moments(x, codes, N_GROUPS))
    finally:
        numba.set_num_threads(threads)
    for other in results[1:]:
        assert_same_bytes(results[0], other)
    assert_close(results[0], by_loop(dense(x), codes))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1, -7.7, 0.0])
@pytest.mark.parametrize("kind", KINDS)
def test_constant_genes_have_no_variance(kind, value, tmp_path, monkeypatch) -> None:
    """Also where the group is cut into tasks and blocks of unequal size."""
    monkeypatch.setattr(moments_file, "ROWS_PER_TASK", 100)
    x = np.full((950, 2), value)
    codes = np.repeat([0, 1], [930, 20])
    monkeypatch.setattr(matrix.blocks, "__defaults__", (3000,))
    for x_of_kind in (KINDS[kind](x), lazy(f"h5ad {kind}", x, tmp_path)):
        got = moments(x_of_kind, codes, 2)
        assert (got.m2 == 0).all()
        assert (got.mean == value).all()
    assert (got.pool(np.zeros(2, int), 1).variance == 0).all()


@pytest.mark.parametrize(("kind", "rtol"), [("dense", 1e-9), ("csc", 1e-9), ("csr", 1e-5)])
def test_large_means_and_small_spreads(kind, rtol, rng, monkeypatch) -> None:
    monkeypatch.setattr(moments_file, "ROWS_PER_TASK", 500)
    x = 1e4 + rng.normal(size=(2000, 3))
    codes = rng.integers(0, 2, 2000)
    got, want = moments(KINDS[kind](x), codes, 2), by_loop(x, codes, 2)
    np.testing.assert_allclose(got.mean, want.mean, rtol=1e-14)
    np.testing.assert_allclose(got.m2, want.m2, rtol=rtol)


values = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([0.0, 0.0, 1.0, 0.1, -2.5, 1e-9, 3e7]) | st.floats(-1e6, 1e6),
)


@pytest.mark.parametrize("kind", KINDS)
@given(x=values, data=st.data())
@example(x=np.zeros((1, 1)), data=None)
def test_any_values_and_groups(kind, x, data) -> None:
    codes = np.zeros(len(x), int)
    if data is not None:
        codes = data.draw(hnp.arrays(np.int64, len(x), elements=st.integers(-(10**6), 3)))
    got, want = moments(KINDS[kind](x), codes, N_GROUPS), by_loop(x, codes)
    assert_close(got, want, rtol=1e-9)
    assert (got.m2 >= 0).all()
    for g in np.flatnonzero(want.n):
        constant = np.ptp(x[codes == g], axis=0) == 0
        assert (got.m2[g, constant] == 0).all()


@given(x=values, data=st.data())
def test_pooling_is_reading_again(x, data) -> None:
    fine = data.draw(hnp.arrays(np.int64, len(x), elements=st.integers(-1, 5)))
    coarse = data.draw(hnp.arrays(np.int64, 6, elements=st.integers(-1, 2)))
    direct = np.where(fine < 0, -1, coarse[fine])
    assert_close(moments(x, fine, 6).pool(coarse, 3), by_loop(x, direct, 3), rtol=1e-9)


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
