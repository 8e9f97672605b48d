"""Random vectors, target vectors, PCA of genes."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from tests.helpers import make_screen

import pertscope as ps

# -- random ---------------------------------------------------------------------------------------


def test_random_is_uniform_and_belongs_to_its_seed():
    names = [f"g{i}" for i in range(200)]
    table = ps.tl.embed_random(names, seed=3)
    assert table.shape == (200, 100)
    assert list(table.index) == names
    x = table.to_numpy()
    assert x.dtype == np.float32
    expected = np.random.default_rng(3).random((200, 100)).astype(np.float32)
    assert x.tobytes() == expected.tobytes()
    assert not np.array_equal(x, ps.tl.embed_random(names))
    assert 0 <= x.min() < 0.001
    assert 0.999 < x.max() <= 1


def test_random_refuses():
    with pytest.raises(TypeError, match="not one string"):
        ps.tl.embed_random("BRAF")
    with pytest.raises(ValueError, match="more than once: 'a'"):
        ps.tl.embed_random(["a", "b", "a"])
    with pytest.raises(ValueError, match="empty"):
        ps.tl.embed_random([])
    with pytest.raises(ValueError, match="`n_dims`=0"):
        ps.tl.embed_random(["a"], 0)


# -- targets --------------------------------------------------------------------------------------


def test_targets_are_binary_or_weighted():
    table = ps.tl.embed_targets({"x": ["B", "A"], "y": {"C": 0.25, "A": 1}, "z": {"B"}})
    expected = pd.DataFrame(
        [[1, 1, 0], [1, 0, 0.25], [0, 1, 0]], list("xyz"), list("ABC"), dtype=np.float32
    )
    pd.testing.assert_frame_equal(table, expected)


def test_compounds_without_targets_are_named():
    with pytest.warns(UserWarning, match=r"2 name\(s\) get no row, they have no targets: 'p', 'q'"):
        table = ps.tl.embed_targets({"p": [], "x": ["A"], "q": {}})
    assert table.to_dict() == {"A": {"x": 1.0}}
    with pytest.raises(ValueError, match="no compound has a target"):
        ps.tl.embed_targets({"p": []})


@pytest.mark.parametrize(
    ("targets", "error", "match"),
    [
        ({"x": "BRAF"}, TypeError, "not the string 'BRAF'"),
        ({"x": ["A", "A"]}, ValueError, "named twice"),
        ({"x": {"A": 0}}, ValueError, "weights above zero"),
        ({"x": {"A": np.nan}}, ValueError, "weights above zero"),
        ({"x": [""]}, ValueError, "must be names of genes"),
        ({"x": [None]}, ValueError, "must be names of genes"),
        ({1: ["A"], "1": ["B"]}, ValueError, "different names"),
    ],
)
def test_targets_refuse(targets, error, match):
    with pytest.raises(error, match=match):
        ps.tl.embed_targets(targets)


# -- PCA of genes ---------------------------------------------------------------------------------


def controls_of(adata: ad.AnnData) -> np.ndarray:
    x = adata[(adata.obs["perturbation"] == "control").to_numpy()].X
    return np.asarray(x.toarray() if sp.issparse(x) else x, np.float64)


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_gene_pca_is_scikit_learns(kind):
    adata = make_screen(n_genes=30)
    x = adata.X.toarray()
    adata.X = kind(x)
    table = ps.tl.embed_gene_pca(adata, 5)
    assert list(table.index) == list(adata.var_names)
    assert set(table.dtypes) == {np.dtype(np.float32)}
    expected = PCA(5, svd_solver="full").fit_transform(controls_of(adata).T)
    sign = np.sign((table.to_numpy() * expected).sum(axis=0))
    np.testing.assert_allclose(table * sign, expected, atol=1e-5)
    assert table.to_numpy().tobytes() == ps.tl.embed_gene_pca(adata, 5).to_numpy().tobytes()


def test_gene_pca_knows_no_perturbed_cell():
    adata = make_screen(n_genes=30)
    other = adata.copy()
    treated = (adata.obs["perturbation"] != "control").to_numpy()
    other.X = other.X.toarray()
    other.X[treated] = 7.5
    np.testing.assert_allclose(
        ps.tl.embed_gene_pca(adata, 4), ps.tl.embed_gene_pca(other, 4), atol=1e-5
    )


def test_gene_pca_from_disk(tmp_path):
    adata = make_screen(n_genes=30)
    adata.write_h5ad(tmp_path / "screen.h5ad")
    backed = ad.read_h5ad(tmp_path / "screen.h5ad", backed="r")
    pd.testing.assert_frame_equal(ps.tl.embed_gene_pca(backed, 4), ps.tl.embed_gene_pca(adata, 4))
    backed.file.close()


def test_gene_pca_refuses():
    adata = make_screen(n_genes=6)
    with pytest.raises(ValueError, match="at most 5: there are 24 control cells and 6 genes"):
        ps.tl.embed_gene_pca(adata, 6)
    with pytest.raises(ValueError, match="needs log-normalised values"):
        ps.tl.embed_gene_pca(make_screen(n_genes=6, counts=True), 2)
    adata.X[0, 0] = np.nan
    adata.obs["perturbation"] = "control"
    with pytest.raises(ValueError, match="NaN"):
        ps.tl.embed_gene_pca(adata, 2)
    twice = make_screen(n_genes=6)
    twice.var_names = list("aabcde")
    with pytest.raises(ValueError, match="more than once: 'a'"):
        ps.tl.embed_gene_pca(twice, 2)
    with pytest.raises(KeyError, match="not registered"):
        ps.tl.embed_gene_pca(make_screen(register=False), 2)


def test_what_is_built_joins_a_screen(capsys):
    adata = make_screen(["g0", "g1", "g0+g2", "g4"], n_genes=8)
    ps.pp.add_perturbation_embedding(adata, ps.tl.embed_gene_pca(adata, 3), "gene_pca")
    assert (
        capsys.readouterr().out == "gene_pca: 4 of 4 perturbations have a vector of 3 dimensions\n"
    )
