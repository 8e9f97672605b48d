"""Maps of representations: scanpy's, of our neighbours."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from tests.helpers import fingerprint, refused

import pertscope as ps
from pertscope._core import neighbors


@pytest.fixture
def adata() -> ad.AnnData:
    """Three groups of cells; some cells are the same."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 6)) + 8 * np.repeat(np.eye(6)[:3], 80, axis=0)
    x[10:13] = x[10]
    made = ad.AnnData(np.zeros((240, 1), np.float32))
    made.obsm["X_rep"] = x
    return made


def test_is_scanpys(adata) -> None:
    import scanpy as sc
    from sklearn.neighbors import KNeighborsTransformer

    adata.obsm["X_rep"] += 1e-3 * np.random.default_rng(1).normal(size=(240, 6))  # none the same
    ps.tl.umap(adata, "X_rep", n_neighbors=12, min_dist=0.3, seed=3)
    peer = ad.AnnData(obsm={"X_rep": adata.obsm["X_rep"]})
    exact = KNeighborsTransformer(n_neighbors=12, algorithm="kd_tree")
    sc.pp.neighbors(peer, use_rep="X_rep", transformer=exact)
    sc.tl.umap(peer, min_dist=0.3, random_state=3)
    np.testing.assert_allclose(adata.obsm["X_rep_umap"], peer.obsm["X_umap"], atol=1e-4)


def test_writes_one_entry_the_same_each_time(adata, tmp_path) -> None:
    before = adata.copy()
    ps.tl.umap(adata, "X_rep")
    first = adata.obsm["X_rep_umap"]
    assert (first.shape, first.dtype) == ((240, 2), np.float32)
    neighbors._found.clear()
    ps.tl.umap(adata, "X_rep", key_added="again")
    assert fingerprint(adata.obsm["again"]) == fingerprint(first)
    ps.tl.umap(adata, "X_rep", seed=1, key_added="other")
    assert not np.array_equal(adata.obsm["other"], first)
    adata.write_h5ad(tmp_path / "screen.h5ad")
    for key in ("X_rep_umap", "again", "other"):
        del adata.obsm[key]
    assert fingerprint(adata) == fingerprint(before)


def test_groups_stay_apart(adata) -> None:
    ps.tl.umap(adata, "X_rep")
    found = neighbors.nearest(adata.obsm["X_rep_umap"], 10).indices
    group = np.repeat([0, 1, 2], 80)
    assert np.mean(group[found] == group[:, None]) > 0.98


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"use_rep": "X_pca"}, KeyError, "`.obsm` has no 'X_pca'; nearest: 'X_rep'"),
        ({"n_neighbors": 1}, ValueError, "`n_neighbors`=1 must be at least 2"),
        ({"n_neighbors": 241}, ValueError, "at most the 240 cells"),
        ({"key_added": "a/b"}, ValueError, "cannot be stored"),
    ],
)
def test_refusals(adata, options, error, message) -> None:
    with refused(adata, error, message):
        ps.tl.umap(adata, **{"use_rep": "X_rep", **options})
    adata.obsm["X_rep"][5, 1] = np.inf
    with refused(adata, ValueError, "NaN or infinite values in 1 row"):
        ps.tl.umap(adata, "X_rep")
