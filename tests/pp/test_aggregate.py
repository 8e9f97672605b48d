"""From wells to profiles: values, columns, and what stays a screen."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests._core import pycytominer_peer
from tests.ev import cpjump1
from tests.helpers import dense, make_screen, refused

import pertscope as ps


@pytest.fixture
def adata() -> ad.AnnData:
    adata = make_screen()
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    return adata


def test_means_of_conditions(adata) -> None:
    got = ps.pp.aggregate(adata, ["cell_type", "perturbation"])
    keys = [adata.obs["cell_type"].astype(str), adata.obs["perturbation"].astype(str)]
    groups = pd.DataFrame(dense(adata.X)).groupby([k.to_numpy() for k in keys])
    want = groups.mean()
    assert got.obs_names.tolist() == ["|".join(k) for k in want.index]
    assert got.X.dtype == np.float32
    np.testing.assert_allclose(got.X, want, rtol=1e-6)
    np.testing.assert_array_equal(got.obs["n_cells"], groups.size())
    assert got.obs["n_cells"].dtype == np.int64
    assert got.obs.columns.tolist() == ["perturbation", "cell_type", "n_cells"]
    assert got.var_names.equals(adata.var_names)


def test_the_result_is_a_screen_with_what_it_still_holds(adata) -> None:
    got = ps.get.screen(ps.pp.aggregate(adata, ["cell_type", "perturbation"])).screen
    assert (got.covariate_keys, got.batch_key) == (("cell_type",), None)
    got = ps.get.screen(ps.pp.aggregate(adata, ["perturbation", "batch"])).screen
    assert (got.covariate_keys, got.batch_key) == ((), "batch")
    no_screen = ps.pp.aggregate(adata, "batch")
    assert "pertscope" not in no_screen.uns
    assert no_screen.obs_names.tolist() == ["b0", "b1"]


def test_registered_layer_and_others(adata) -> None:
    adata.layers["twice"] = adata.X * 2
    want = 2 * ps.pp.aggregate(adata, "perturbation").X
    np.testing.assert_allclose(ps.pp.aggregate(adata, "perturbation", layer="twice").X, want)
    ps.pp.register(adata, layer="twice")
    got = ps.pp.aggregate(adata, "perturbation")
    np.testing.assert_allclose(got.X, want)
    assert ps.get.screen(got).screen.layer is None


@pytest.mark.parametrize("method", ["mean", "median", "modz"])
def test_a_representation(adata, method) -> None:
    adata.obsm["R"] = dense(adata.X)
    got = ps.pp.aggregate(adata, "perturbation", use_rep="R", method=method)
    want = ps.pp.aggregate(adata, "perturbation", method=method)
    np.testing.assert_allclose(got.X, want.X, rtol=1e-6)
    assert got.var_names.tolist() == [f"R_{i}" for i in range(5)]
    adata.obsm["F"] = pd.DataFrame(dense(adata.X), index=adata.obs_names, columns=[*"abcde"])
    named = ps.pp.aggregate(adata, "perturbation", use_rep="F")
    assert named.var_names.tolist() == [f"F_{c}" for c in "abcde"]


def test_cells_are_counted_through_two_steps(adata) -> None:
    wells = ps.pp.aggregate(adata, ["perturbation", "cell_type", "batch"])
    got = ps.pp.aggregate(wells, "perturbation").obs["n_cells"]
    counts = adata.obs["perturbation"].value_counts()
    assert got.to_dict() == counts.to_dict()


def test_columns_with_missing_values(adata) -> None:
    adata.obs["dose"] = adata.obs["perturbation"].map({"A": 1.0, "B": 2.0}).astype(float)
    got = ps.pp.aggregate(adata, "perturbation").obs["dose"]
    np.testing.assert_array_equal(got[["A", "B", "control"]], [1, 2, np.nan])
    adata.obs.loc[adata.obs_names[0], "perturbation"] = np.nan
    with refused(adata, ValueError, r"has 1 missing label\(s\)"):
        ps.pp.aggregate(adata, "perturbation")


def test_backed_file_and_round_trip(adata, tmp_path) -> None:
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    for method in ("mean", "median"):
        got = ps.pp.aggregate(backed, "perturbation", method=method)
        want = ps.pp.aggregate(adata, "perturbation", method=method)
        np.testing.assert_array_equal(got.X, want.X)
        got.write_h5ad(tmp_path / "b.h5ad")
        again = ad.read_h5ad(tmp_path / "b.h5ad")
        assert ps.get.screen(again).screen == ps.get.screen(want).screen
    backed.file.close()


def test_refusals(adata) -> None:
    adata.obsm["R"] = dense(adata.X)
    with refused(adata, KeyError, "no column 'well'"):
        ps.pp.aggregate(adata, "well")
    with refused(adata, ValueError, "`by` names no column"):
        ps.pp.aggregate(adata, [])
    with refused(adata, ValueError, "`method`='max' must be one of"):
        ps.pp.aggregate(adata, "batch", method="max")
    with refused(adata, ValueError, "one of `use_rep` and `layer`"):
        ps.pp.aggregate(adata, "batch", use_rep="R", layer="x")
    with refused(adata, KeyError, "no 'Q'"):
        ps.pp.aggregate(adata, "batch", use_rep="Q")
    with refused(adata, KeyError, "no 'x'"):
        ps.pp.aggregate(adata, "batch", layer="x")


@pytest.mark.filterwarnings("ignore:DataFrameGroupBy.apply:FutureWarning")  # pycytominer's
@pytest.mark.parametrize("method", ["mean", "median", "modz"])
def test_cpjump1_is_aggregated_as_by_pycytominer(method, data_dir) -> None:
    adata = cpjump1.load(data_dir)
    names = adata.obs["broad_sample"].unique()[:20]
    adata = adata[adata.obs["broad_sample"].isin(names), :50].copy()
    got = ps.pp.aggregate(adata, "broad_sample", method=method)
    table = adata.to_df().reset_index(drop=True)
    table.insert(0, "Metadata_name", adata.obs["broad_sample"].astype(str).to_numpy())
    features = adata.var_names.tolist()
    if method == "modz":
        options = {"precision": 12, "min_weight": 0.01}
        want = pycytominer_peer.consensus(
            table, ["Metadata_name"], operation="modz", features=features, modz_args=options
        )
    else:
        want = pycytominer_peer.aggregate(
            table, strata=["Metadata_name"], features=features, operation=method
        )
    want = want.set_index("Metadata_name")[features]
    np.testing.assert_allclose(got.X, want.loc[got.obs_names], rtol=1e-6, atol=1e-9)
