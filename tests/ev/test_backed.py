"""A screen on disk, or of dask arrays, is judged as the same screen in memory."""

from __future__ import annotations

import contextlib
import io

import anndata as ad
import dask.array as da
import numpy as np
import pytest

import pertscope as ps


@pytest.fixture(scope="module")
def judged() -> ad.AnnData:
    adata = ps.datasets.simulate_screen(n_perturbations=8, n_combinations=12, n_genes=40, seed=1)
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    ps.pp.normalize(adata)
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_combinations(adata)
    model = ps.tl.fit_additive(adata)
    ps.tl.predict(adata, model, key_added="cells", cells_per_condition=15)
    judge(adata)
    return adata


def judge(adata: ad.AnnData) -> None:
    ps.ev.evaluate(adata, n_components=5)
    ps.ev.deg_metrics(adata, "cells", method="wilcoxon")
    ps.ev.error_metrics(adata, statistics=["ba_ate", "pca"], metrics=["rmse"])
    ps.ev.e_test(adata, n_permutations=50, n_components=5)
    ps.ev.ceiling(adata, method="hierarchical-bootstrap", n_outer=2, n_inner=2)


@pytest.mark.parametrize("kind", ["h5ad", "csc h5ad", "dask", "dense"])
def test_same_scores(judged, kind, tmp_path) -> None:
    other = judged.copy()
    tables = ("evaluation", "deg_metrics", "error_metrics", "e_test", "ceiling")
    for key in tables:
        del other.uns[key]
    if kind == "dense":
        other.X = other.X.toarray()
    elif kind == "dask":
        other.X = da.from_array(other.X, chunks=(100, -1), asarray=False)
    else:
        if kind == "csc h5ad":
            other.X = other.X.tocsc()
        other.write_h5ad(tmp_path / "x.h5ad")
        other = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    judge(other)
    for key in tables:
        a, b = judged.uns[key], other.uns[key]
        assert a.columns.tolist() == b.columns.tolist()
        for column in a:
            if a[column].dtype == np.float64:
                np.testing.assert_allclose(a[column], b[column], rtol=1e-5, atol=1e-7, err_msg=key)
            else:
                assert a[column].astype(str).tolist() == b[column].astype(str).tolist()
