from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from tests.helpers import dense, make_screen, refused

import pertscope as ps

KINDS = {
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "csr_array": sp.csr_array,
    "csc_array": sp.csc_array,
    "dense": np.asarray,
    "int": lambda x: x.astype(np.int64),
    "int csr": lambda x: sp.csr_matrix(x.astype(np.int32)),
    "dask": lambda x: da.from_array(x, chunks=(20, -1)),
}


def formula(counts: np.ndarray, target_sum: float = 1e4) -> np.ndarray:
    return np.log1p(target_sum * counts / counts.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [None, "raw"])
def test_formula(kind, layer) -> None:
    adata = make_screen(counts=True, register=False)
    counts = dense(adata.X)
    other = adata.X.copy()
    if layer is None:
        adata.X = KINDS[kind](counts.astype(np.float32))
    else:
        adata.layers[layer] = KINDS[kind](counts.astype(np.float32))
    ps.pp.register(adata, covariate_keys=["cell_type"], layer=layer)
    ps.pp.normalize(adata, target_sum=500)
    got, kept = (adata.X if layer is None else adata.layers[layer]), adata.layers["counts"]
    if kind == "dask":
        got, kept = got.compute(), kept.compute()
    assert got.dtype == np.float32
    assert sp.issparse(got) == sp.issparse(kept) == ("cs" in kind)
    np.testing.assert_allclose(dense(got), formula(counts, 500), rtol=1e-5)
    assert np.array_equal(dense(kept), counts)
    assert not isinstance(got, sp.sparray)
    assert not isinstance(kept, sp.sparray)
    assert getattr(kept, "format", "csr") == ("csc" if "csc" in kind else "csr")
    assert kept.dtype == (np.int64 if kind == "int" else np.int32 if "int" in kind else np.float32)
    assert adata.uns["log1p"] == {"base": None}
    if layer is not None:
        assert np.array_equal(dense(adata.X), dense(other))


def test_against_scanpy(papalexi) -> None:
    want = sc.pp.normalize_total(papalexi, target_sum=1e4, copy=True)
    sc.pp.log1p(want)
    ps.pp.register(papalexi, control="non-targeting")
    ps.pp.normalize(papalexi, counts_layer=None)
    assert np.array_equal(papalexi.X.data, want.X.data)
    assert not papalexi.layers


def test_cells_without_counts_stay_empty() -> None:
    adata = make_screen(counts=True)
    x = adata.X.toarray()
    x[3] = 0
    adata.X = sp.csr_matrix(x)
    with pytest.warns(UserWarning, match="zero counts"):
        ps.pp.normalize(adata)
    assert adata.X[3].nnz == 0
    assert np.isfinite(adata.X.data).all()


def test_counts_of_zero_and_one_are_counts() -> None:
    adata = make_screen(counts=True)
    adata.X = (adata.X > 0).astype(np.float32)
    ps.pp.normalize(adata)
    assert adata.X.max() > 1


def with_value(value: float, row: int = 0):
    def spoil(adata) -> None:
        x = adata.X.toarray()
        x[row, 1] = value
        adata.X = sp.csr_matrix(x)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "keys", "match"),
    [
        (with_value(-1), {}, "`.X` holds negative values .down to -1.: these are no counts"),
        (with_value(np.nan), {}, "`.X` holds NaN or infinite"),
        (with_value(np.inf), {}, "`.X` holds NaN or infinite"),
        (with_value(0.5), {}, "`.X` holds no integer counts"),
        (with_value(0.5, row=-1), {}, "`.X` holds no integer counts"),
        (with_value(2), {"target_sum": 0}, "`target_sum`=0 must be positive"),
        (with_value(2), {"target_sum": np.nan}, "`target_sum`=nan must be positive"),
        (with_value(2), {"counts_layer": "a/b"}, "`counts_layer`='a/b' cannot be stored"),
    ],
)
def test_refusals(spoil, keys, match) -> None:
    adata = make_screen(counts=True, n_controls=120)
    assert adata.n_obs > 256
    spoil(adata)
    with refused(adata, ValueError, match):
        ps.pp.normalize(adata, **keys)


def test_what_scanpy_refuses_changes_nothing(monkeypatch) -> None:
    def fail(*_, **__):
        raise ValueError("no logarithm")

    adata = make_screen(counts=True)
    monkeypatch.setattr(sc.pp, "log1p", fail)
    with refused(adata, ValueError, "no logarithm"):
        ps.pp.normalize(adata)


def test_not_twice() -> None:
    adata = make_screen(counts=True)
    ps.pp.normalize(adata)
    with refused(adata, ValueError, "normalised before.*Nothing was changed"):
        ps.pp.normalize(adata)


def test_the_counts_are_not_the_registered_layer() -> None:
    adata = make_screen(counts=True, register=False)
    adata.layers["counts"] = adata.X.copy()
    ps.pp.register(adata, layer="counts")
    with refused(adata, ValueError, "`counts_layer` is the registered layer 'counts' itself"):
        ps.pp.normalize(adata)


def test_not_registered() -> None:
    adata = make_screen(counts=True, register=False)
    with refused(adata, KeyError, "not registered"):
        ps.pp.normalize(adata)
