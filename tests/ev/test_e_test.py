"""The E-test of a screen: rows, controls and adjustment are the right ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist
from tests.helpers import make_screen, refused

import pertscope as ps


@pytest.fixture
def adata():
    adata = make_screen(n_cells=8, n_controls=15)
    adata.obsm["X_rep"] = np.random.default_rng(0).normal(size=(adata.n_obs, 4))
    moved = (adata.obs["perturbation"] == "A").to_numpy()
    adata.obsm["X_rep"][moved] += 3
    return adata


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
def test_against_numpy(adata, metric) -> None:
    ps.ev.e_test(adata, use_rep="X_rep", metric=metric, n_permutations=200)
    table = adata.uns["e_test"].astype({"cell_type": str, "perturbation": str})
    x = adata.obsm["X_rep"]
    for row in table.itertuples():
        here = (adata.obs["cell_type"] == row.cell_type).to_numpy()
        a = x[here & (adata.obs["perturbation"] == row.perturbation).to_numpy()]
        b = x[here & (adata.obs["perturbation"] == "control").to_numpy()]
        energy = 2 * cdist(a, b, metric).mean() - cdist(a, a, metric).mean()
        energy -= cdist(b, b, metric).mean()
        assert row.e_distance == pytest.approx(energy, rel=1e-5)
        assert row.n_cells == len(a)
        assert (row.p_value == 1 / 201) == (row.perturbation == "A")
    adjusted = stats.false_discovery_control(table["p_value"])
    np.testing.assert_allclose(table["p_adjusted"], adjusted)
    again = adata.uns["e_test"].copy()
    ps.ev.e_test(adata, use_rep="X_rep", metric=metric, n_permutations=200)
    assert again.equals(adata.uns["e_test"])


def test_pca_by_default(adata, tmp_path) -> None:
    ps.ev.e_test(adata, n_permutations=50, n_components=3)
    assert adata.uns["e_test"]["e_distance"].gt(0).all()
    adata.write_h5ad(tmp_path / "x.h5ad")


def test_bad_input(adata) -> None:
    with refused(adata, KeyError, "`.obsm` has no 'X_pca'; nearest: 'X_rep'"):
        ps.ev.e_test(adata, use_rep="X_pca")
    with refused(adata, ValueError, "`metric`='cosine' must be one of"):
        ps.ev.e_test(adata, metric="cosine")
    with refused(adata, ValueError, "`n_permutations`=0 must be at least 1"):
        ps.ev.e_test(adata, n_permutations=0)
