from __future__ import annotations

import anndata as ad
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from tests.helpers import dense, make_screen, refused

from pertscope._core.matrix import (
    blocks,
    dense_rows,
    is_backed,
    looks_like_counts,
    matrix_of,
    refuse_counts,
    row_block,
    stored_sample,
)

KINDS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}


@pytest.fixture(params=KINDS)
def backed(request, tmp_path) -> tuple[object, np.ndarray]:
    x = np.random.default_rng(0).poisson(1, (37, 11)).astype(np.float32)
    ad.AnnData(KINDS[request.param](x)).write_h5ad(tmp_path / "x.h5ad")
    return ad.read_h5ad(tmp_path / "x.h5ad", backed="r").X, x


@pytest.mark.parametrize("block_bytes", [1, 300, 10**9])
def test_blocks_cover_everything_once(backed, block_bytes) -> None:
    stored, x = backed
    seen, covered = np.zeros_like(x), np.zeros(x.shape, int)
    found = list(blocks(stored, block_bytes))
    for rows, columns, block in found:
        assert not is_backed(block)
        seen[rows, columns] = dense(block)
        covered[rows, columns] += 1
    assert (covered == 1).all()
    assert np.array_equal(seen, x)
    longest = x.shape[getattr(stored, "format", "") == "csc"]
    assert len(found) == {1: longest, 10**9: 1}.get(block_bytes, len(found))


def test_memory_is_one_block_and_dask_keeps_its_chunks() -> None:
    x = np.ones((10, 3))
    assert [b[2] is x for b in blocks(x, 1)] == [True]
    rows = [b[0] for b in blocks(da.from_array(x, chunks=((4, 6), (2, 1))), 1)]
    assert rows == [slice(0, 4), slice(4, 10)]


def test_rows_and_samples(backed) -> None:
    stored, x = backed
    if getattr(stored, "format", "") != "csc":
        assert np.array_equal(dense(row_block(stored, 3, 9)), x[3:9])
    for kind in (stored, x, sp.csr_matrix(x), sp.csc_matrix(x), da.from_array(x)):
        sample = stored_sample(kind, 5)
        assert sample.ndim == 1
        assert set(sample) <= set(x.ravel())
    assert stored_sample(stored).sum() == x.sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ([[0, 3.0], [1, 2]], True),
        ([[0, 3], [1, 2]], True),
        ([[0, 3.5], [1, 2]], False),
        ([[0, -3.0], [1, 2]], False),
        ([[0, 1], [1, 1]], False),
        ([[0, 0], [0, 0]], False),
        ([[0.0, np.nan], [1, 2]], False),
    ],
)
def test_looks_like_counts(values, counts, kind) -> None:
    assert looks_like_counts(KINDS[kind](np.array(values))) is counts


def test_counts_are_refused_by_name() -> None:
    adata = make_screen(counts=True)
    adata.layers["logged"] = adata.X.log1p()
    refuse_counts(adata, "logged", "testing")
    with refused(adata, ValueError, r"`.X` holds integer counts, testing needs log-normalised"):
        refuse_counts(adata, None, "testing")
    adata.layers["logged"] = adata.X.copy()
    with refused(adata, ValueError, r"layer 'logged' holds integer counts.*ps\.pp\.normalize"):
        refuse_counts(adata, "logged", "testing")


def test_matrix_of() -> None:
    adata = make_screen()
    adata.layers["logged"] = adata.X * 2
    assert matrix_of(adata, None) is adata.X
    assert matrix_of(adata, "logged") is adata.layers["logged"]
    with refused(adata, KeyError, "no 'loged'; nearest: 'logged'"):
        matrix_of(adata, "loged")
    del adata.X
    with pytest.raises(ValueError, match=r"no `\.X`: register the `layer`"):
        matrix_of(adata, None)


@pytest.mark.parametrize("kind", KINDS)
def test_dense_rows(kind) -> None:
    x = np.arange(12).reshape(4, 3)
    got = dense_rows(KINDS[kind](x), np.array([2, 0]))
    assert got.dtype == np.float32
    assert isinstance(got, np.ndarray)
    assert np.array_equal(got, x[[2, 0]])
