"""Post-processing of real screens: sphering is pycytominer's, TVN and center-scaling efaar's."""

from __future__ import annotations

import numpy as np
import pytest
from tests._core import pycytominer_peer
from tests._core.test_affine import efaar_tvn, up_to_sign
from tests.ev import cpjump1, efaar_formulas
from tests.ev.embedded import papalexi_pca

import pertscope as ps


@pytest.fixture(scope="module", params=["cpjump1", "papalexi"])
def adata(request):
    """Wells in 602 features, of which each plate has 64 controls; cells in 20 components."""
    if request.param == "cpjump1":
        found = cpjump1.load(request.getfixturevalue("data_dir"))
        found.obsm["X_here"] = np.asarray(found.X, np.float64)
    else:
        read = request.getfixturevalue("_read_screen")
        found = papalexi_pca(read("sceptre_papalexi_lowmoi/papalexi_lowmoi.h5ad").copy())
        found.obsm["X_here"] = found.obsm["X_pca"].astype(np.float64)
    return found


@pytest.fixture(scope="module")
def x(adata) -> np.ndarray:
    return adata.obsm["X_here"]


@pytest.fixture(scope="module")
def is_control(adata) -> np.ndarray:
    screen = ps.get.screen(adata).screen
    return (adata.obs[screen.perturbation_key] == screen.control).to_numpy()


@pytest.fixture(scope="module")
def batch(adata) -> np.ndarray:
    return adata.obs[ps.get.screen(adata).screen.batch_key].to_numpy(str)


def same(got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("method", ["ZCA", "ZCA-cor"])
def test_sphere_by_batch(adata, x, is_control, batch, method) -> None:
    ps.pp.sphere(adata, "X_here", method=method, key_added="X_done")
    for b in np.unique(batch)[:3]:
        here = batch == b
        want = pycytominer_peer.sphere(x[here & is_control], x[here], method, 1e-6)
        same(adata.obsm["X_done"][here], want)


@pytest.mark.parametrize("method", ["PCA", "PCA-cor"])
def test_sphere_of_all_batches(adata, x, is_control, method) -> None:
    ps.pp.sphere(adata, "X_here", method=method, by_batch=False, key_added="X_done")
    want = pycytominer_peer.sphere(x[is_control], x, method, 1e-6)
    got = adata.obsm["X_done"]
    want = want[:, : got.shape[1]]  # further axes are those of rounding
    same(up_to_sign(got, want), want)


def test_center_scale(adata, x, is_control, batch) -> None:
    ps.pp.center_scale(adata, "X_here", key_added="X_done")
    same(adata.obsm["X_done"], efaar_formulas.center_scale(x, is_control, batch))


def test_tvn(adata, x, is_control, batch) -> None:
    adata.obsm["X_few"] = x[:, :50]  # its power of a matrix of 602 takes minutes
    ps.pp.tvn(adata, "X_few", key_added="X_done")
    want = efaar_tvn(adata.obsm["X_few"], is_control, batch)
    same(up_to_sign(adata.obsm["X_done"], want), want)
