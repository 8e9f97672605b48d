"""Features of profiles: each reason to leave one out, and pycytominer on real plates."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests._core import pycytominer_peer
from tests.ev import cpjump1
from tests.helpers import refused

import pertscope as ps


@pytest.fixture
def adata() -> ad.AnnData:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6))
    x[:, 1] = 3 * x[:, 0] + 1e-3 * rng.normal(size=40)
    x[:, 2] = 5 + 1e-5 * rng.normal(size=40)
    x[0, 3] = np.nan
    names = ["Cells_Area", "Cells_Width", "Cells_Flat", "Cells_Gap", "Nuclei_X", "RNA_Brightfield"]
    obs = pd.DataFrame({"perturbation": ["control", "A"] * 20}, index=[f"w{i}" for i in range(40)])
    adata = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=names))
    ps.pp.register(adata)
    return adata


def reasons(adata: ad.AnnData) -> dict[str, str]:
    return adata.var["left_out"].astype(str).to_dict()


def test_every_reason(adata) -> None:
    ps.pp.select_profile_features(adata, blocklist=["*Brightfield*"])
    got = reasons(adata)
    assert sorted([got.pop("Cells_Area"), got.pop("Cells_Width")]) == ["", "correlated"]
    assert got == {
        "Cells_Flat": "low variance",
        "Cells_Gap": "missing values",
        "Nuclei_X": "",
        "RNA_Brightfield": "blocklist",
    }
    np.testing.assert_array_equal(adata.var["selected"], adata.var["left_out"] == "")


def test_limits_can_be_lifted(adata) -> None:
    ps.pp.select_profile_features(adata, max_missing=0.1, min_variance=0, max_correlation=1)
    assert adata.var["selected"].all()
    ps.pp.select_profile_features(adata, max_missing=0.1)  # correlations where values are missing
    assert reasons(adata)["Cells_Gap"] == ""
    assert (adata.var["left_out"] == "correlated").sum() == 1


def test_opposite_features_repeat_each_other(adata) -> None:
    adata.X[:, 1] *= -1
    ps.pp.select_profile_features(adata)
    assert (adata.var["left_out"] == "correlated").sum() == 1


def test_subset_and_round_trip(adata, tmp_path) -> None:
    ps.pp.select_profile_features(adata, subset=True)
    assert adata.var["selected"].all()
    assert adata.shape == (40, 3)
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert again.var["left_out"].equals(adata.var["left_out"])


def test_refusals(adata) -> None:
    with refused(adata, ValueError, "`max_missing`=1 must be in"):
        ps.pp.select_profile_features(adata, max_missing=1)
    with refused(adata, TypeError, "`blocklist` takes a list"):
        ps.pp.select_profile_features(adata, blocklist="Cells_Area")
    with refused(adata, ValueError, "'Area' matches no feature"):
        ps.pp.select_profile_features(adata, blocklist=["Area"])
    with refused(adata, ValueError, "no feature is left"):
        ps.pp.select_profile_features(adata, blocklist=["*"])
    adata.X = sp.csr_matrix(adata.X)
    with refused(adata, ValueError, "must be a dense array in memory"):
        ps.pp.select_profile_features(adata)


def test_cpjump1_loses_what_pycytominer_drops(data_dir) -> None:
    adata = cpjump1.load(data_dir)[:384, :300].copy()
    r = np.corrcoef(adata.X, rowvar=False)
    adata = adata[:, (r > -0.8).all(axis=0)].copy()  # pycytominer leaves opposite ones in place
    ps.pp.select_profile_features(adata, max_correlation=0.8)
    table, names = adata.to_df(), adata.var_names.tolist()
    want = set(pycytominer_peer.correlation_threshold(table, features=names, threshold=0.8))
    assert len(want) > 5
    assert not pycytominer_peer.variance_threshold(table, features=names)
    assert set(adata.var_names[adata.var["left_out"] == "correlated"]) == want
    assert (adata.var["left_out"] != "").sum() == len(want)
