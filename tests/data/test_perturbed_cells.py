"""Cells of a pass, from memory and from disk."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from pertscope.data import perturbed_cells
from pertscope.data.perturbed_cells import HeldCells, StoredCells
from pertscope.data.rows import Rows, dense

pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")

N_CELLS, N_GENES = 230, 6


@pytest.fixture(autouse=True)
def small_reads(monkeypatch) -> None:
    monkeypatch.setattr(perturbed_cells, "ROWS_PER_READ", 16)
    monkeypatch.setattr(perturbed_cells, "SHUFFLED_BYTES", 3 * 16 * N_GENES * 4)


@pytest.fixture(params=["csr h5ad", "dense h5ad", "csr zarr", "dask"])
def stored(request, tmp_path):
    """A matrix on disk whose rows hold their number, and the same in memory."""
    x = np.zeros((N_CELLS, N_GENES), np.float32)
    x[:, 0] = np.arange(N_CELLS)
    x[::3, 2] = 5
    if request.param == "dask":
        import dask.array as da

        return da.from_array(x, chunks=(37, N_GENES)), x
    kind = np.asarray if "dense" in request.param else sp.csr_matrix
    adata = ad.AnnData(kind(x))
    if "zarr" in request.param:
        import zarr

        adata.write_zarr(tmp_path / "x.zarr")
        return ad.io.sparse_dataset(zarr.open(tmp_path / "x.zarr")["X"]), x
    adata.write_h5ad(tmp_path / "x.h5ad")
    return ad.read_h5ad(tmp_path / "x.h5ad", backed="r").X, x


ROWS = np.flatnonzero(np.random.default_rng(0).random(N_CELLS) < 0.7)


@pytest.mark.parametrize("batch_size", [1, 10, 64, 1000])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_cell_once_with_its_values(stored, batch_size, shuffle) -> None:
    on_disk, x = stored
    cells = StoredCells(on_disk, ROWS)
    passes = []
    for seed in (0, 0, 1):
        rng = np.random.default_rng(seed) if shuffle else None
        parts = list(cells.batches(batch_size, rng))
        places = np.concatenate([p for p, _ in parts])
        values = np.concatenate([dense(v).numpy() for _, v in parts])
        sizes = [len(p) for p, _ in parts]
        assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
        assert len(sizes) == -(-len(ROWS) // batch_size)
        np.testing.assert_array_equal(np.sort(places), np.arange(len(ROWS)))
        np.testing.assert_array_equal(values, x[ROWS[places]])
        passes.append(places)
    np.testing.assert_array_equal(passes[0], passes[1])
    assert np.array_equal(passes[0], passes[2]) != shuffle
    assert np.array_equal(passes[0], np.arange(len(ROWS))) != shuffle


def test_batches_mix_the_file(stored) -> None:
    """A batch holds cells from far apart: runs are taken at random places."""
    cells = StoredCells(stored[0], ROWS)
    first = next(iter(cells.batches(30, np.random.default_rng(0))))[0]
    assert np.ptp(ROWS[first]) > 50


def test_some_rows_are_held(stored) -> None:
    on_disk, x = stored
    held = np.array([3, 17, 18, 200])
    read = Rows(on_disk, held=held)
    assert read.x.shape == (4, N_GENES)
    np.testing.assert_array_equal(dense(read(np.array([200, 3, 3]))).numpy(), x[[200, 3, 3]])


def test_means_of_rows() -> None:
    x = np.random.default_rng(0).poisson(0.7, (9, 5)).astype(np.float32)
    rows = np.array([[0, 1, 2], [8, 8, 3]])
    for kind in (np.asarray, sp.csr_matrix):
        got = dense(Rows(kind(x))(rows)).numpy()
        np.testing.assert_allclose(got, x[rows].mean(1), rtol=1e-6)


def test_in_memory() -> None:
    x = np.arange(20, dtype=np.float32)[:, None]
    cells = HeldCells(Rows(x), np.arange(5, 20))
    for rng in (None, np.random.default_rng(0)):
        parts = list(cells.batches(4, rng))
        places = np.concatenate([p for p, _ in parts])
        np.testing.assert_array_equal(np.sort(places), np.arange(15))
        np.testing.assert_array_equal(np.concatenate([v[:, 0] for _, v in parts]), places + 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_values_that_are_no_numbers(kind, bad) -> None:
    x = np.ones((4, 3), np.float32)
    x[2, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinite values, first in row 2"):
        Rows(kind(x))
