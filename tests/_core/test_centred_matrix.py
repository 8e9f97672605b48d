"""Products with a centred matrix, against NumPy on the dense one."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from tests._core.matrices import KINDS, lazy

from pertscope._core import centred_matrix, matrix
from pertscope._core.centred_matrix import CentredMatrix

LAZY = [f"{s} {f}" for s in ("h5ad", "zarr") for f in KINDS] + ["dask dense", "dask csr"]
N_CELLS, N_GENES = 300, 12


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Counts with empty cells and empty genes, float32 ``(300, 12)``."""
    rng = np.random.default_rng(0)
    x = rng.poisson(0.7, (N_CELLS, N_GENES)).astype(np.float32)
    x[rng.random(N_CELLS) < 0.1] = 0
    x[:, 3] = 0
    return x


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    """Three batches."""
    return np.random.default_rng(1).integers(0, 3, N_CELLS)


@pytest.fixture(params=["all genes", "some genes"])
def genes(request) -> np.ndarray:
    if request.param == "all genes":
        return np.ones(N_GENES, bool)
    return np.isin(np.arange(N_GENES), [0, 3, 4, 9, 11])


def by_numpy(x: np.ndarray, genes: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centred matrix itself, and its means."""
    x = x[:, genes].astype(np.float64)
    mean = np.array([x[codes == g].mean(axis=0) for g in range(codes.max() + 1)])
    return x - mean[codes], mean


def assert_products(stored: object, x: np.ndarray, genes: np.ndarray, codes: np.ndarray) -> None:
    """All products are those of the dense matrix."""
    centred, mean = by_numpy(x, genes, codes)
    made = CentredMatrix(stored, genes, mean, codes)
    q = np.random.default_rng(2).standard_normal((genes.sum(), 5))
    assert made.shape == centred.shape
    assert made.times(q).dtype == np.float32
    np.testing.assert_allclose(made.times(q), centred @ q, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(made.gram_times(q), centred.T @ (centred @ q), atol=1e-10)
    if not made.is_cut_by_genes:
        np.testing.assert_allclose(made.gram(), centred.T @ centred, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("kind", KINDS)
def test_in_memory(x, genes, codes, kind, dtype) -> None:
    assert_products(KINDS[kind](x.astype(dtype)), x.astype(dtype), genes, codes)


@pytest.mark.parametrize("dtype", ["float16", ">f4"])
def test_types_unknown_to_numba(x, genes, codes, dtype) -> None:
    assert_products(x.astype(dtype), x, genes, codes)
    csr = sp.csr_matrix(x)
    csr.data = csr.data.astype(">f4")
    assert_products(csr, x, genes, codes)


def test_places_stored_twice_add_up(x, genes, codes) -> None:
    halves = sp.coo_matrix(x)
    twice = sp.coo_matrix(
        (np.tile(halves.data / 2, 2), (np.tile(halves.row, 2), np.tile(halves.col, 2))), x.shape
    )
    assert_products(twice, x, genes, codes)
    rows = np.repeat(np.arange(N_CELLS), 2 * np.diff(sp.csr_matrix(x).indptr))
    order = np.argsort(twice.row, kind="stable")
    indptr = np.searchsorted(rows, np.arange(N_CELLS + 1))
    csr = sp.csr_matrix((twice.data[order], twice.col[order], indptr), shape=x.shape)
    assert not csr.has_canonical_format
    assert_products(csr, x, genes, codes)


@pytest.mark.parametrize("kind", LAZY)
def test_out_of_memory(x, genes, codes, kind, tmp_path, monkeypatch) -> None:
    stored = lazy(kind, x, tmp_path)
    for block_bytes in (400, 10**9):
        monkeypatch.setattr(matrix.blocks, "__defaults__", (block_bytes,))
        assert_products(stored, x, genes, codes)


@pytest.mark.parametrize("kind", ["csr", "dense"])
def test_small_chunks_parts_and_tiles(x, genes, codes, kind, monkeypatch) -> None:
    monkeypatch.setattr(centred_matrix, "CHUNK_BYTES", 7 * 8 * N_GENES)
    monkeypatch.setattr(centred_matrix, "PARTS_BYTES", 1)
    monkeypatch.setattr(centred_matrix, "TILE", 5)
    assert_products(KINDS[kind](x), x, genes, codes)


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_same_bytes_with_any_number_of_threads(kind) -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only: set NUMBA_NUM_THREADS=2")
    rng = np.random.default_rng(0)
    x = rng.poisson(0.5, (5000, 300)).astype(np.float32)
    mean = x.mean(axis=0, dtype=np.float64)[None]
    made = CentredMatrix(KINDS[kind](x), np.ones(300, bool), mean, np.zeros(5000, np.int64))
    q = rng.standard_normal((300, 17))
    products = []
    for n in (1, 2):
        before = numba.get_num_threads()
        numba.set_num_threads(n)
        products.append([made.times(q), made.gram_times(q), made.gram()])
        numba.set_num_threads(before)
    for one, two in zip(*products, strict=True):
        assert one.tobytes() == two.tobytes()


def test_a_mean_much_larger_than_the_spread() -> None:
    x = 1e6 + np.random.default_rng(0).standard_normal((200, 4))
    genes, codes = np.ones(4, bool), np.zeros(200, np.int64)
    centred, mean = by_numpy(x, genes, codes)
    made = CentredMatrix(x, genes, mean, codes)
    np.testing.assert_allclose(made.gram(), centred.T @ centred, rtol=1e-12)
    np.testing.assert_allclose(made.gram_times(np.eye(4)), centred.T @ centred, rtol=1e-12)
