"""Principal components in a screen, against scikit-learn and scanpy."""

from __future__ import annotations

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from sklearn.decomposition import PCA
from tests.helpers import dense, make_screen, refused

import pertscope as ps
from pertscope._core import matrix

KINDS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}


def screen(n_genes: int = 40, **options: object) -> ad.AnnData:
    """Registered screen with two batches: some 60 cells."""
    adata = make_screen(n_genes=n_genes, **options)
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    return adata


def embedded(adata: ad.AnnData, **options: object) -> np.ndarray:
    ps.tl.pca(adata, **options)
    return adata.obsm[options.get("key_added", "X_pca")]


def test_equal_to_scanpy_and_sklearn(papalexi) -> None:
    sc.pp.normalize_total(papalexi)
    sc.pp.log1p(papalexi)
    peer = papalexi.copy()
    sc.pp.pca(peer, n_comps=20)
    for method in ("exact", "randomized"):
        ps.tl.pca(papalexi, 20, method=method)
        assert papalexi.obsm["X_pca"].dtype == np.float32
        np.testing.assert_allclose(papalexi.obsm["X_pca"], peer.obsm["X_pca"], atol=2e-3)
        np.testing.assert_allclose(papalexi.varm["PCs"], peer.varm["PCs"], atol=1e-3)
        for name in ("variance", "variance_ratio"):
            np.testing.assert_allclose(papalexi.uns["pca"][name], peer.uns["pca"][name], rtol=1e-4)
        assert papalexi.uns["pca"]["params"]["method"] == method
    full = PCA(20, svd_solver="full").fit(dense(papalexi.X))
    np.testing.assert_allclose(papalexi.varm["PCs"].T, full.components_, atol=1e-4)
    np.testing.assert_allclose(papalexi.var["pca_mean"], full.mean_, rtol=1e-6)


def test_not_registered_and_what_is_recorded() -> None:
    adata = make_screen(n_genes=20, register=False)
    ps.tl.pca(adata, seed=7)
    assert adata.obsm["X_pca"].shape == (adata.n_obs, 20)
    params = adata.uns["pca"]["params"]
    assert params["method"] == "exact"
    assert params["seed"] == 7
    assert not params["by_batch"]
    assert "layer" not in params
    np.testing.assert_allclose(adata.uns["pca"]["variance_ratio"].sum(), 1)


def test_the_layer_is_the_registered_one_or_the_named_one() -> None:
    adata = screen(counts=True)
    ps.pp.normalize(adata)
    adata.layers["logged"] = adata.X.copy()
    adata.X = sp.csr_matrix(adata.shape, dtype=np.float32)
    ps.pp.register(adata, covariate_keys=["cell_type"], layer="logged")
    full = PCA(5, svd_solver="full").fit_transform(dense(adata.layers["logged"]))
    np.testing.assert_allclose(embedded(adata, n_comps=5), full, atol=1e-4)
    counts = PCA(5, svd_solver="full").fit_transform(dense(adata.layers["counts"]))
    np.testing.assert_allclose(
        embedded(adata, n_comps=5, layer="counts", key_added="of_counts"), counts, atol=1e-4
    )
    assert adata.uns["of_counts"]["params"]["layer"] == "counts"
    assert adata.uns["of_counts"]["params"]["counts"]
    assert {"of_counts", "PCs"} == set(adata.varm)


@pytest.mark.parametrize("method", ["exact", "randomized"])
def test_by_batch_is_a_pca_of_cells_centred_in_their_batch(method) -> None:
    adata = screen()
    shifted = dense(adata.X)
    shifted[(adata.obs["batch"] == "b1").to_numpy()] += 3
    adata.X = sp.csr_matrix(shifted)
    frame = pd.DataFrame(shifted).groupby(adata.obs["batch"].to_numpy())
    own = shifted - frame.transform("mean").to_numpy()
    peer = PCA(6, svd_solver="full").fit(own)
    found = embedded(adata, n_comps=6, by_batch=True, method=method)
    np.testing.assert_allclose(found, peer.transform(own), atol=1e-3)
    got = adata.uns["pca"]
    np.testing.assert_allclose(got["variance"], peer.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(got["variance_ratio"], peer.explained_variance_ratio_, rtol=1e-4)
    assert got["params"]["batch_key"] == "batch"
    np.testing.assert_allclose(adata.var["pca_mean"], shifted.mean(axis=0), rtol=1e-6)
    other = adata.copy()
    del other.uns["pertscope"]
    by_name = embedded(other, n_comps=6, by_batch=True, batch_key="batch", method=method)
    assert by_name.tobytes() == found.tobytes()


def test_only_masked_genes_count() -> None:
    adata = screen()
    adata.var["highly_variable"] = np.arange(adata.n_vars) % 3 == 0
    peer = adata.copy()
    sc.pp.pca(peer, n_comps=5, mask_var="highly_variable", svd_solver="covariance_eigh")
    ps.tl.pca(adata, 5, mask_var="highly_variable")
    np.testing.assert_allclose(adata.obsm["X_pca"], peer.obsm["X_pca"], atol=1e-4)
    np.testing.assert_allclose(adata.varm["PCs"], peer.varm["PCs"], atol=1e-4)
    np.testing.assert_allclose(
        adata.uns["pca"]["variance_ratio"], peer.uns["pca"]["variance_ratio"], rtol=1e-4
    )


@pytest.mark.parametrize("mask_var", [None, "odd"])
@pytest.mark.parametrize("method", ["auto", "randomized"])
def test_every_kind_of_matrix_gives_the_same(method, mask_var, tmp_path, monkeypatch) -> None:
    adata = screen()
    adata.var["odd"] = np.arange(adata.n_vars) % 2 == 1
    options = {"n_comps": 4, "method": method, "by_batch": True, "mask_var": mask_var}
    want = embedded(adata.copy(), **options)
    monkeypatch.setattr(matrix.blocks, "__defaults__", (3000,))
    for name, kind in KINDS.items():
        other = adata.copy()
        other.X = kind(dense(adata.X).astype(np.float32))
        np.testing.assert_allclose(embedded(other, **options), want, atol=2e-3)
        path = tmp_path / f"{name}.h5ad"
        other.obsm.clear()
        other.write_h5ad(path)
        backed = ad.read_h5ad(path, backed="r")
        np.testing.assert_allclose(embedded(backed, **options), want, atol=2e-3)
        backed.file.close()
    for block in (np.asarray, sp.csr_matrix, sp.csc_matrix):
        other = adata.copy()
        x = da.from_array(dense(adata.X).astype(np.float32), chunks=(17, adata.n_vars))
        other.X = x.map_blocks(block)
        np.testing.assert_allclose(embedded(other, **options), want, atol=2e-3)


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data", "ignore:The set_bad function")
def test_survives_a_file_and_scanpy_goes_on(tmp_path) -> None:
    adata = screen()
    ps.tl.pca(adata, 8)
    ps.tl.pca(adata, 8, by_batch=True, mask_var=None, key_added="own")
    for suffix, write, read in (
        ("h5ad", "write_h5ad", ad.read_h5ad),
        ("zarr", "write_zarr", ad.read_zarr),
    ):
        getattr(adata, write)(tmp_path / f"x.{suffix}")
        back = read(tmp_path / f"x.{suffix}")
        ps.tl.pca(back, reference=adata, key_added="own", by_batch=True)
        np.testing.assert_array_equal(back.obsm["own"], adata.obsm["own"])
    sc.pp.neighbors(back, n_neighbors=5)
    axes = sc.pl.pca(back, color="perturbation", show=False)
    assert axes.get_xlabel() == "PC1"
    sc.pl.pca_loadings(back, components="1,2", show=False)
    sc.pl.pca_variance_ratio(back, n_pcs=8, show=False)


# -- cells put into the axes of others -------------------------------------------------------------


def test_reference_embeds_as_sklearn_transforms() -> None:
    reference, query = screen(), screen(seed=1)
    peer = PCA(6, svd_solver="full").fit(dense(reference.X))
    ps.tl.pca(reference, 6)
    ps.tl.pca(query, reference=reference)
    np.testing.assert_allclose(query.obsm["X_pca"], peer.transform(dense(query.X)), atol=1e-4)
    np.testing.assert_allclose(query.varm["PCs"], reference.varm["PCs"])
    scores, x = query.obsm["X_pca"], dense(query.X)
    np.testing.assert_allclose(query.uns["pca"]["variance"], scores.var(0, ddof=1), rtol=1e-5)
    total = x.var(axis=0, ddof=1).sum()
    np.testing.assert_allclose(
        query.uns["pca"]["variance_ratio"], scores.var(0, ddof=1) / total, rtol=1e-5
    )
    assert query.uns["pca"]["params"]["projected"]
    ps.tl.pca(query, 2, reference=reference)
    np.testing.assert_array_equal(query.obsm["X_pca"], scores[:, :2])


def test_reference_of_oneself_changes_nothing() -> None:
    adata = screen()
    for options in ({}, {"by_batch": True}):
        want = embedded(adata, n_comps=5, **options)
        again = adata.copy()
        np.testing.assert_array_equal(embedded(again, reference=adata, **options), want)


def test_reference_matches_genes_by_name_and_names_those_missing() -> None:
    reference, query = screen(), screen(seed=1)
    reference.var["used"] = np.arange(reference.n_vars) != 5
    ps.tl.pca(reference, 6, mask_var="used")
    order = np.random.default_rng(0).permutation(query.n_vars)
    shuffled = query[:, order].copy()
    shuffled.var_names = [("new" if g == "g5" else g) for g in shuffled.var_names]
    assert (
        np.abs(embedded(shuffled, reference=reference) - embedded(query, reference=reference)).max()
        < 1e-5
    )  # gene 5 never counted, so that nothing is missing
    some = query[:, query.var_names != "g7"].copy()
    with pytest.warns(UserWarning, match=r"1 of 39 genes of the reference are missing.*'g7'"):
        ps.tl.pca(some, reference=reference)
    at_mean = query.copy()
    x = dense(query.X)
    x[:, 7] = reference.var["pca_mean"].iloc[7]
    at_mean.X = x
    np.testing.assert_allclose(
        some.obsm["X_pca"], embedded(at_mean, reference=reference), atol=1e-5
    )


def test_one_new_cell() -> None:
    reference = screen()
    ps.tl.pca(reference, 3)
    one = reference[4].copy()
    one.obsm.clear()
    ps.tl.pca(one, reference=reference)
    np.testing.assert_allclose(one.obsm["X_pca"], reference.obsm["X_pca"][[4]], atol=1e-6)
    assert np.isnan(one.uns["pca"]["variance_ratio"]).all()


def test_counts_for_logged_values_are_told() -> None:
    reference, query = screen(), screen(counts=True)
    ps.tl.pca(reference, 3)
    with pytest.warns(UserWarning, match="only one of the reference and `adata` holds counts"):
        ps.tl.pca(query, reference=reference)


def test_what_does_not_fit_a_reference_is_refused() -> None:
    reference, query = screen(), screen(seed=1)
    with refused(query, KeyError, r"the reference has no `.varm\['PCs'\]`.*call `ps.tl.pca`"):
        ps.tl.pca(query, reference=reference)
    ps.tl.pca(reference, 3)
    with refused(query, KeyError, "with the same `key_added`"):
        ps.tl.pca(query, reference=reference, key_added="other")
    with refused(query, ValueError, "the reference has 3 components, `n_comps`=4 is more"):
        ps.tl.pca(query, 4, reference=reference)
    with refused(query, ValueError, "the reference was embedded with `by_batch=False`"):
        ps.tl.pca(query, reference=reference, by_batch=True)
    with refused(query, ValueError, "`mask_var` is for a fit"):
        ps.tl.pca(query, reference=reference, mask_var="x")
    other = query.copy()
    other.var_names = [f"other{i}" for i in range(other.n_vars)]
    with refused(other, ValueError, "no gene of the reference is among those of `adata`.*'other0'"):
        ps.tl.pca(other, reference=reference)
    other.var_names = ["g0"] * other.n_vars
    with refused(other, ValueError, "`.var_names` of `adata` are not unique"):
        ps.tl.pca(other, reference=reference)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"n_comps": 0}, ValueError, "`n_comps`=0 must be positive"),
        ({"n_comps": 41}, ValueError, r"40 gene\(s\) have 40 components at most, `n_comps`=41"),
        ({"method": "full"}, ValueError, "`method`='full' must be one of"),
        ({"layer": "logged"}, KeyError, "`.layers` has no 'logged'"),
        ({"mask_var": "odd"}, KeyError, "`.var` has no column 'odd'"),
        ({"mask_var": "text"}, ValueError, r"`.var\['text'\]` must be bool"),
        ({"mask_var": "none"}, ValueError, r"0 gene\(s\) have 0 components at most"),
        ({"mask_var": "constant"}, ValueError, "all cells are the same"),
        ({"by_batch": True, "batch_key": "plate"}, KeyError, "no column 'plate'"),
        ({"batch_key": "batch"}, ValueError, "`batch_key` is for `by_batch=True`"),
        ({"key_added": "a/b"}, ValueError, "must not be empty or contain '/'"),
    ],
)
def test_refusals(options, error, match) -> None:
    adata = screen()
    x = dense(adata.X)
    x[:, 3] = 2.5
    adata.X = sp.csr_matrix(x)
    adata.var["text"] = "x"
    adata.var["none"] = False
    adata.var["constant"] = np.arange(adata.n_vars) == 3
    with refused(adata, error, match):
        ps.tl.pca(adata, **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_no_numbers(kind, bad) -> None:
    adata = screen()
    x = dense(adata.X)
    x[3, 2] = bad
    adata.X = KINDS[kind](x)
    with refused(adata, ValueError, r"NaN or infinite values in 1 gene\(s\): 'g2'"):
        ps.tl.pca(adata, 3)


def test_cells_and_batches_that_are_too_few() -> None:
    adata = screen()
    with refused(adata[:1].copy(), ValueError, r"1 cell\(s\) and 40 gene\(s\) have 0 components"):
        ps.tl.pca(adata[:1].copy())
    lone = adata[:10].copy()
    lone.obs["batch"] = ["alone", *["b"] * 9]
    with refused(lone, ValueError, "1 batch.* of 'batch' have one cell.*: 'alone'"):
        ps.tl.pca(lone, 2, by_batch=True)
    lone.obs["batch"] = ["a"] * 5 + ["b"] * 5
    with refused(lone, ValueError, r"10 cell\(s\) in 2 batches .* 8 components at most"):
        ps.tl.pca(lone, 9, by_batch=True)
    ps.pp.register(lone, covariate_keys=["cell_type"])
    with refused(lone, ValueError, "the screen has no batches"):
        ps.tl.pca(lone, 2, by_batch=True)
    del lone.uns["pertscope"]
    with refused(lone, KeyError, "not registered"):
        ps.tl.pca(lone, 2, by_batch=True)


def test_cells_that_vary_along_few_axes() -> None:
    adata = screen()
    x = dense(adata.X)
    adata.X = sp.csr_matrix(np.outer(x[:, 0], x[0]) + np.outer(x[:, 1], x[1]))
    ps.tl.pca(adata)
    assert adata.obsm["X_pca"].shape[1] == 2
    with refused(adata, ValueError, "the cells vary along 2 axes, `n_comps`=3 is more"):
        ps.tl.pca(adata, 3)
    adata.X = sp.csr_matrix(np.tile(x[0], (adata.n_obs, 1)))
    with refused(adata, ValueError, "all cells are the same"):
        ps.tl.pca(adata)
    with refused(adata, ValueError, "all cells of each batch are the same"):
        ps.tl.pca(adata, by_batch=True)


def test_float32_cannot_hold_it() -> None:
    adata = screen()
    adata.X = adata.X.astype(np.float64) * 1e45
    with refused(adata, ValueError, "values are too large"):
        ps.tl.pca(adata, 2)


def test_a_view_becomes_its_own() -> None:
    adata = screen()
    view = adata[:20]
    with pytest.warns(UserWarning, match="received a view"):
        ps.tl.pca(view, 3)
    assert view.obsm["X_pca"].shape == (20, 3)
    assert "X_pca" not in adata.obsm
    assert "pca" not in adata.uns


def test_exact_refuses_genes_on_disk(tmp_path, rng) -> None:
    adata = ad.AnnData(sp.csc_matrix(rng.poisson(1.0, (20, 6)).astype(np.float32)))
    adata.write_h5ad(tmp_path / "genes.h5ad")
    backed = ad.read_h5ad(tmp_path / "genes.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"'exact' needs whole cells.*CSC.*'randomized'"):
        ps.tl.pca(backed, 3, method="exact")
    assert "X_pca" not in backed.obsm
    backed.file.close()


def test_reference_that_scanpy_embedded_since(rng) -> None:
    adata = ad.AnnData(rng.normal(size=(30, 8)).astype(np.float32))
    ps.tl.pca(adata, 3)
    sc.pp.pca(adata, 3)
    with pytest.raises(KeyError, match=r"of ours: call `ps\.tl\.pca` on it"):
        ps.tl.pca(adata.copy(), reference=adata)
