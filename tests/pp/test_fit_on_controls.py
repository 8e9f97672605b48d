"""Post-processing fitted on controls: batches, new data, bad input, real plates."""

from __future__ import annotations

from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests._core import pycytominer_peer
from tests._core.test_affine import efaar_tvn, up_to_sign
from tests.ev import cpjump1
from tests.helpers import refused

import pertscope as ps

METHODS = {
    "center": ps.pp.center,
    "center_scale": ps.pp.center_scale,
    "mad_robustize": ps.pp.mad_robustize,
    "sphere": ps.pp.sphere,
    "tvn": ps.pp.tvn,
    "tvn_zca": partial(ps.pp.tvn, form="zca"),
}
SCALING = sorted(set(METHODS) - {"center"})


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return METHODS[request.param]


def screen(*, n: int = 120, d: int = 4, dtype: type = np.float64, seed: int = 0) -> ad.AnnData:
    """Cells of three batches that differ by shift and scale, half of them controls."""
    rng = np.random.default_rng(seed)
    batch = np.arange(n) % 3
    obs = pd.DataFrame(
        {
            "perturbation": np.where(np.arange(n) % 2, "control", "A"),
            "batch": [f"b{b}" for b in batch],
        },
        index=[f"c{i}" for i in range(n)],
    )
    adata = ad.AnnData(np.zeros((n, 1), np.float32), obs=obs)
    x = (rng.normal(size=(n, d)) @ rng.normal(size=(d, d))) * (1 + batch[:, None])
    adata.obsm["R"] = (x + 4 * batch[:, None]).astype(dtype)
    ps.pp.register(adata, batch_key="batch")
    return adata


def of(adata: ad.AnnData) -> tuple[np.ndarray, np.ndarray]:
    return (adata.obs["perturbation"] == "control").to_numpy(), adata.obs["batch"].to_numpy()


def test_center_and_center_scale_by_batch() -> None:
    adata = screen()
    ps.pp.center(adata, "R")
    ps.pp.center_scale(adata, "R")
    is_control, batch = of(adata)
    for b in np.unique(batch):
        own = adata.obsm["R"][is_control & (batch == b)]
        x = adata.obsm["R"][batch == b]
        np.testing.assert_allclose(adata.obsm["R_center"][batch == b], x - own.mean(axis=0))
        want = (x - own.mean(axis=0)) / own.std(axis=0)
        np.testing.assert_allclose(adata.obsm["R_center_scale"][batch == b], want)


def test_without_batches_all_controls_are_one_group(method) -> None:
    adata = screen()
    method(adata, "R", by_batch=False, key_added="once")
    ps.pp.register(adata)
    method(adata, "R", key_added="none")
    np.testing.assert_array_equal(adata.obsm["once"], adata.obsm["none"])
    adata.obs["all"] = "x"
    method(adata, "R", batch_key="all", key_added="one")
    np.testing.assert_array_equal(adata.obsm["one"], adata.obsm["none"])


def test_type_is_kept_and_values_agree(method) -> None:
    wide, narrow = screen(), screen(dtype=np.float32)
    method(wide, "R", key_added="y")
    method(narrow, "R", key_added="y")
    assert narrow.obsm["y"].dtype == np.float32
    assert wide.obsm["y"].dtype == np.float64
    scale = np.abs(wide.obsm["y"]).max()
    np.testing.assert_allclose(narrow.obsm["y"], wide.obsm["y"], atol=2e-5 * scale)


def test_new_cells_go_where_the_old_ones_went(method) -> None:
    adata = screen()
    method(adata, "R", key_added="y")
    new = adata[[5, 3, 8, 20]].copy()
    del new.uns["pertscope"], new.obsm["y"]
    new.obs["perturbation"] = "A"  # no controls of its own
    method(new, "R", fit_on=adata, key_added="y")
    np.testing.assert_allclose(new.obsm["y"], adata.obsm["y"][[5, 3, 8, 20]], rtol=1e-9, atol=1e-9)


def test_new_batch(method) -> None:
    adata = screen()
    new = adata[:6].copy()
    new.obs["batch"] = "b9"
    with refused(new, ValueError, r"1 batch\(es\) of 'batch' have .* controls.*: 'b9'"):
        method(new, "R", fit_on=adata)
    method(new, "R", fit_on=adata, missing="global", key_added="y")
    assert np.isfinite(new.obsm["y"]).all()


def test_a_batch_without_controls(method) -> None:
    adata = screen()
    is_control, batch = of(adata)
    adata = adata[~(is_control & (batch == "b1"))].copy()
    with refused(adata, ValueError, r"1 batch\(es\) of 'batch' have .* controls.*: 'b1'"):
        method(adata, "R")
    method(adata, "R", missing="global", key_added="y")
    assert np.isfinite(adata.obsm["y"]).all()


def test_global_is_the_mean_of_all_controls() -> None:
    adata = screen()
    is_control, batch = of(adata)
    adata = adata[~(is_control & (batch == "b1"))].copy()
    ps.pp.center(adata, "R", missing="global")
    is_control, batch = of(adata)
    want = adata.obsm["R"][batch == "b1"] - adata.obsm["R"][is_control].mean(axis=0)
    np.testing.assert_allclose(adata.obsm["R_center"][batch == "b1"], want)


def test_one_control_centres_but_does_not_scale() -> None:
    adata = screen()
    is_control, batch = of(adata)
    drop = np.flatnonzero(is_control & (batch == "b2"))[1:]
    adata = adata[np.setdiff1d(np.arange(adata.n_obs), drop)].copy()
    ps.pp.center(adata, "R")
    is_control, batch = of(adata)
    np.testing.assert_array_equal(adata.obsm["R_center"][is_control & (batch == "b2")], 0)
    for name in SCALING:
        with refused(adata, ValueError, "fewer than 2 controls .*: 'b2'"):
            METHODS[name](adata, "R")


def test_a_constant_dimension(method) -> None:
    adata = screen()
    adata.obsm["R"][:, 1] = 2.7
    method(adata, "R", key_added="y")
    assert np.isfinite(adata.obsm["y"]).all()
    assert np.abs(adata.obsm["y"]).max() < 1e3


def test_fewer_controls_than_dimensions(method) -> None:
    adata = screen(n=18, d=7)  # three controls in each batch
    method(adata, "R", key_added="y")
    assert np.isfinite(adata.obsm["y"]).all()


def test_refusals(method) -> None:
    adata = screen()
    with refused(adata, KeyError, "no 'Q'"):
        method(adata, "Q")
    with refused(adata, KeyError, "no column 'plate'"):
        method(adata, "R", batch_key="plate")
    with refused(adata, ValueError, "`missing`='drop' must be one of"):
        method(adata, "R", missing="drop")
    with refused(adata, ValueError, "cannot be stored"):
        method(adata, "R", key_added="a/b")
    narrow = screen(d=3)
    with refused(narrow, ValueError, "has 3 dimensions, that of `fit_on` 4"):
        method(narrow, "R", fit_on=adata)
    adata.obsm["R"][3, 0] = np.nan
    with refused(adata, ValueError, r"NaN or infinite values in 1 row\(s\), first at 'c3'"):
        method(adata, "R")
    none = adata[adata.obs["perturbation"] == "A"].copy()
    none.obsm["R"][:] = 1
    with refused(none, ValueError, r"control\(s\) or more, there are 0 of 'control'"):
        method(none, "R")
    del adata.uns["pertscope"]
    with refused(adata, KeyError, "not registered"):
        method(adata, "R")


def test_options() -> None:
    adata = screen()
    with refused(adata, ValueError, "`method`='zca' must be one of"):
        ps.pp.sphere(adata, "R", method="zca")
    with refused(adata, ValueError, "`epsilon_on`='s' must be one of"):
        ps.pp.sphere(adata, "R", epsilon_on="s")
    with refused(adata, ValueError, "axes of `method`='PCA' would differ from batch to batch"):
        ps.pp.sphere(adata, "R", method="PCA")
    with refused(adata, ValueError, "`form`='pca' must be one of"):
        ps.pp.tvn(adata, "R", form="pca")
    for function in (ps.pp.sphere, ps.pp.mad_robustize):
        with refused(adata, ValueError, "`epsilon`=-1 must not be negative"):
            function(adata, "R", epsilon=-1)
    adata.obsm["R"][:] = 3
    for function in (ps.pp.sphere, ps.pp.tvn):
        with refused(adata, ValueError, r"control\(s\) are all the same"):
            function(adata, "R")


def test_a_view_becomes_a_copy() -> None:
    adata = screen()
    part = adata[:60]
    with pytest.warns(UserWarning, match="received a view"):
        ps.pp.center(part, "R")
    assert "R_center" in part.obsm
    assert "R_center" not in adata.obsm


@pytest.fixture(scope="module")
def plates(data_dir):
    return cpjump1.load(data_dir)


def test_cpjump1_is_sphered_as_by_pycytominer(plates) -> None:
    plate = plates[plates.obs["Plate"] == plates.obs["Plate"].iloc[0]].copy()  # 64 DMSO wells
    controls = plate.X[(plate.obs["broad_sample"] == "DMSO").to_numpy()]
    for method in ("ZCA", "PCA"):
        ps.pp.sphere(plate, method=method)
        want = pycytominer_peer.sphere(controls, plate.X, method, 1e-6)
        got = plate.obsm["X_sphere"]
        if method == "PCA":
            want = want[:, : got.shape[1]]
            got = up_to_sign(got, want)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * np.abs(want).max())


def test_cpjump1_tvn_is_efaars(plates) -> None:
    adata = plates.copy()
    adata.obsm["first"] = adata.X[:, :50].copy()
    ps.pp.tvn(adata, "first")
    is_control = (adata.obs["broad_sample"] == "DMSO").to_numpy()
    want = efaar_tvn(adata.obsm["first"], is_control, adata.obs["Plate"].to_numpy())
    got = up_to_sign(adata.obsm["first_tvn"], want)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * np.abs(want).max())
