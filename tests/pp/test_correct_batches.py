"""ComBat, Harmony and Scanorama on representations, against the packages themselves."""

from __future__ import annotations

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from tests.helpers import refused
from tests.pp.test_fit_on_controls import screen

import pertscope as ps

METHODS = {"combat": ps.pp.combat, "harmony": ps.pp.harmony, "scanorama": ps.pp.scanorama}


@pytest.fixture(params=sorted(METHODS))
def name(request) -> str:
    return request.param


def test_combat_is_scanpys() -> None:
    adata = screen()
    ps.pp.combat(adata, "R")
    peer = ad.AnnData(adata.obsm["R"].copy(), obs=adata.obs.copy())
    sc.pp.combat(peer, key="batch")
    np.testing.assert_array_equal(adata.obsm["R_combat"], peer.X)


def test_harmony_is_harmonypys() -> None:
    import harmonypy

    adata = screen(n=300)
    ps.pp.harmony(adata, "R", theta=1.5, seed=3)
    meta = pd.DataFrame({"batch": adata.obs["batch"].astype(str)})
    peer = harmonypy.run_harmony(
        adata.obsm["R"], meta, "batch", theta=1.5, random_state=3, verbose=False
    )
    np.testing.assert_allclose(adata.obsm["R_harmony"], peer.Z_corr, rtol=1e-6)


def test_scanorama_is_scanpys() -> None:
    adata = screen(n=150)
    ps.pp.scanorama(adata, "R", n_neighbors=10)
    order = np.argsort(adata.obs["batch"].to_numpy(), kind="stable")
    peer = adata[order].copy()
    sc.external.pp.scanorama_integrate(
        peer, "batch", basis="R", knn=10, approx=False, batch_size=None, verbose=False
    )
    np.testing.assert_allclose(adata.obsm["R_scanorama"][order], peer.obsm["X_scanorama"])
    assert not np.allclose(adata.obsm["R_scanorama"], adata.obsm["R"])


def test_batches_come_closer(name) -> None:
    adata = screen(n=300)
    METHODS[name](adata, "R", key_added="y")

    def share_between(x: np.ndarray) -> float:
        """Share of the variance that lies between batches."""
        means = pd.DataFrame(x).groupby(adata.obs["batch"].to_numpy()).transform("mean")
        return float(means.var().sum() / pd.DataFrame(x).var().sum())

    assert share_between(adata.obsm["y"]) < 0.5 * share_between(adata.obsm["R"])


def test_type_is_kept_and_twice_is_the_same(name) -> None:
    adata = screen(n=150, dtype=np.float32)
    METHODS[name](adata, "R", key_added="a")
    METHODS[name](adata, "R", key_added="b")
    assert adata.obsm["a"].dtype == np.float32
    assert adata.obsm["a"].tobytes() == adata.obsm["b"].tobytes()


def test_approximate_scanorama_runs() -> None:
    adata = screen(n=150)
    ps.pp.scanorama(adata, "R", approximate=True)
    assert np.isfinite(adata.obsm["R_scanorama"]).all()


def test_a_constant_dimension(name) -> None:
    adata = screen(n=150)
    adata.obsm["R"][:, 0] = 1.5
    METHODS[name](adata, "R", key_added="y")
    assert np.isfinite(adata.obsm["y"]).all()


def test_a_dimension_that_is_constant_in_one_batch(name) -> None:
    adata = screen(n=150)
    adata.obsm["R"][(adata.obs["batch"] == "b1").to_numpy(), 0] = 1.5
    METHODS[name](adata, "R", key_added="y")
    assert np.isfinite(adata.obsm["y"]).all()


def test_one_dimension() -> None:
    adata = screen(d=1)
    ps.pp.harmony(adata, "R")
    ps.pp.scanorama(adata, "R")
    with refused(adata, ValueError, "`combat` gave NaN or infinite values"):
        ps.pp.combat(adata, "R")


def test_few_cells(name) -> None:
    adata = screen(n=12)
    METHODS[name](adata, "R", key_added="y")
    assert adata.obsm["y"].shape == (12, 4)


def test_refusals(name) -> None:
    adata = screen()
    method = METHODS[name]
    one = adata[adata.obs["batch"] == "b0"].copy()
    with refused(one, ValueError, "has one batch, 'b0': nothing to correct"):
        method(one, "R")
    with refused(adata, KeyError, "no column 'plate'"):
        method(adata, "R", batch_key="plate")
    adata.obsm["R"][0] = np.inf
    with refused(adata, ValueError, "NaN or infinite"):
        method(adata, "R")
    ps.pp.register(adata)
    with refused(adata, ValueError, "the screen has no batches"):
        method(adata, "R")


def test_options() -> None:
    adata = screen()
    with refused(adata, ValueError, "`theta`=-1 must not be negative"):
        ps.pp.harmony(adata, "R", theta=-1)
    with refused(adata, ValueError, "`n_neighbors`=0 and `sigma`=15.0 must be positive"):
        ps.pp.scanorama(adata, "R", n_neighbors=0)
    lone = adata[:12].copy()
    lone.obs["batch"] = lone.obs["batch"].astype(str)
    lone.obs.loc["c1", "batch"] = "alone"
    with refused(lone, ValueError, "`combat` needs 2 cells per batch or more; 1 .*: 'alone'"):
        ps.pp.combat(lone, "R")


@pytest.mark.parametrize(("name", "package"), [("harmony", "harmonypy"), ("scanorama",) * 2])
def test_a_package_that_is_not_there(name, package, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        METHODS[name](screen(), "R")
