"""Activity and consistency: published figures, copairs on real profiles, tables, bad input."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.ev import copairs_peer, cpjump1
from tests.helpers import refused

import pertscope as ps


@pytest.fixture(scope="module")
def plates(data_dir):
    adata = cpjump1.load(data_dir)
    ps.ev.phenotypic_activity(adata, compat="copairs")
    return adata


@pytest.fixture
def adata():
    """Two plates of 30 wells; perturbation p0 is strong, p5 has one well."""
    rng = np.random.default_rng(0)
    labels = ["control"] * 10 + [f"p{i}" for i in range(5) for _ in range(4)]
    obs = pd.DataFrame(
        {
            "perturbation": [*labels, *labels, "p5"],
            "plate": ["A"] * 30 + ["B"] * 31,
            "well": [f"w{i % 15}" for i in range(61)],
            "line": "u2os",
        },
        index=[f"well{i}" for i in range(61)],
    )
    obs["target"] = obs["perturbation"].map(
        {"p0": "x|y", "p1": "x", "p2": "y | z", "p3": None, "p4": "q", "p5": "z"}
    )
    x = rng.normal(size=(61, 12))
    x[obs["perturbation"] == "p0"] += 3
    x[obs["perturbation"] == "p1"] += 3
    made = ad.AnnData(x, obs=obs)
    made.obsm["X_rep"] = x[:, :6] - 1
    ps.pp.register(made, batch_key="plate")
    return made


def measure(adata, **options) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "1 of 6 perturbations", UserWarning)
        ps.ev.phenotypic_activity(adata, n_null=2000, **options)
    return adata.uns["phenotypic_activity"]


def test_published_row(plates) -> None:
    # Table D17 of CHAMMI-75, "CellProfiler (paper)": 81.70 %, 58.71
    table = plates.uns["phenotypic_activity"]
    assert len(table) == 306
    assert table["n_profiles"].sum() == 2240
    active = table["corrected_p_value"] < 0.05
    assert round(100 * active.mean(), 2) == 81.70
    assert round(100 * (table["mean_average_precision"] * active).mean(), 2) == 58.71


def test_copairs_on_real_plates(plates, tmp_path) -> None:
    some = plates.obs["Plate"].isin(plates.obs["Plate"].unique()[:3])
    kept = plates[some.to_numpy()].copy()
    ps.ev.phenotypic_activity(kept, compat="copairs", n_null=10_000)
    table = kept.uns["phenotypic_activity"].set_index("perturbation")
    peer = copairs_peer.activity(
        kept.X,
        kept.obs["broad_sample"].to_numpy(str),
        kept.obs["Plate"].to_numpy(str),
        control="DMSO",
    )
    expected = copairs_peer.means(peer, "perturbation", tmp_path, null_size=10_000, seed=0)
    expected = expected.loc[table.index.astype(str)]
    mean = "mean_average_precision"
    np.testing.assert_allclose(table[mean], expected[mean], atol=1e-6)
    np.testing.assert_allclose(
        table["mean_normalised_average_precision"],
        expected["mean_normalized_average_precision"],
        atol=1e-6,
    )
    p = expected["p_value"].to_numpy()
    error = np.sqrt(2 * p * (1 - p) / 10_000)
    assert (np.abs(table["p_value"] - p) < 5 * error + 3e-4).all()


def test_consistency_is_that_of_copairs(plates, tmp_path) -> None:
    ps.ev.phenotypic_consistency(plates, "target_list", compat="copairs", n_null=2000)
    table = plates.uns["phenotypic_consistency"]
    assert len(table) == cpjump1.N_TARGETS
    activity = plates.uns["phenotypic_activity"]
    active = activity["perturbation"][activity["corrected_p_value"] < 0.05].astype(str)
    frame = pd.DataFrame(plates.X, index=plates.obs["broad_sample"].to_numpy(str))
    consensus = frame.groupby(level=0).median().loc[sorted(active)]
    targets = plates.obs.drop_duplicates("broad_sample").set_index("broad_sample")["target_list"]
    labels = targets.loc[consensus.index].str.split("|").tolist()
    peer = copairs_peer.consistency(consensus.to_numpy(), labels)
    expected = copairs_peer.means(peer, "label", tmp_path, null_size=2000, seed=0)
    found = table.set_index(table["label"].astype(str))
    assert set(found.index[found["n_profiles"] > 1]) == set(expected.index)
    found = found.loc[expected.index]
    mean = "mean_average_precision"
    np.testing.assert_allclose(found[mean], expected[mean], atol=1e-6)
    p = expected["p_value"].to_numpy()
    error = np.sqrt(2 * p * (1 - p) / 2000)
    assert (np.abs(found["p_value"] - p) < 5 * error + 1e-3).all()


def test_table(adata, tmp_path) -> None:
    with pytest.warns(UserWarning, match=r"1 of 6 perturbations have no two profiles.*'p5'"):
        ps.ev.phenotypic_activity(adata, n_null=2000)
    table = adata.uns["phenotypic_activity"].set_index("perturbation")
    assert table.index.tolist() == [f"p{i}" for i in range(6)]
    assert table["n_profiles"].tolist() == [8, 8, 8, 8, 8, 1]
    assert table["mean_average_precision"].idxmax() in {"p0", "p1"}
    assert table.loc["p5"].drop("n_profiles").isna().all()
    tested = table.iloc[:5]
    np.testing.assert_allclose(
        tested["corrected_p_value"], stats.false_discovery_control(tested["p_value"])
    )
    assert tested["p_value"].between(1 / 2001, 1).all()
    adata.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad").uns["phenotypic_activity"]
    pd.testing.assert_frame_equal(back, adata.uns["phenotypic_activity"])


def test_order_of_rows_and_representation(adata) -> None:
    first = measure(adata, use_rep="X_rep")
    turned = adata[np.random.default_rng(1).permutation(61)].copy()
    pd.testing.assert_frame_equal(measure(turned, use_rep="X_rep"), first)
    assert not measure(adata)["mean_average_precision"].equals(first["mean_average_precision"])


def test_same_and_different(adata) -> None:
    plain = measure(adata)["mean_average_precision"]
    everywhere = measure(adata, same=[])["mean_average_precision"]
    apart = measure(adata, different=["plate", "well"])["mean_average_precision"]
    assert not np.allclose(plain[:5], everywhere[:5])
    assert not np.allclose(plain[:5], apart[:5])
    one = adata[adata.obs["plate"] == "A"].copy()
    with refused(one, ValueError, "no perturbation has two profiles"):
        ps.ev.phenotypic_activity(one, different=["plate"])


def test_each_line_has_rows_and_controls_of_its_own(adata) -> None:
    alone = measure(adata)
    both = ad.concat([adata, adata], index_unique="-")
    both.obs["line"] = np.repeat(["a", "b"], 61)
    both.X[61:] *= -1
    ps.pp.register(both, batch_key="plate", covariate_keys=["line"])
    with pytest.warns(UserWarning, match=r"'a\|p5', 'b\|p5'"):
        ps.ev.phenotypic_activity(both, n_null=2000)
    table = both.uns["phenotypic_activity"]
    for line in "ab":
        of_line = table[table["line"] == line]["p_value"].to_numpy()
        np.testing.assert_array_equal(of_line, alone["p_value"])


def test_consistency(adata) -> None:
    ps.ev.phenotypic_consistency(adata, "target", activity_key=None)
    table = adata.uns["phenotypic_consistency"].set_index("label")
    assert table.index.tolist() == ["q", "x", "y", "z"]
    assert table["n_profiles"].tolist() == [1, 2, 2, 2]
    assert table["p_value"].notna().tolist() == [False, True, True, True]
    assert table["mean_average_precision"]["x"] == 1  # p0 and p1 are moved alike
    # both find each other first: one similarity is the largest of its own, 2 and 3 others
    assert table["p_value"]["x"] == pytest.approx(1 / 6)
    measure(adata)
    adata.uns["phenotypic_activity"]["corrected_p_value"] = [0.01, 0.01, 0.5, 0.5, 0.5, np.nan]
    ps.ev.phenotypic_consistency(adata, "target")
    table = adata.uns["phenotypic_consistency"].set_index("label")
    assert table["n_profiles"].tolist() == [0, 2, 1, 0]


def test_bad_input(adata) -> None:
    activity, consistency = ps.ev.phenotypic_activity, ps.ev.phenotypic_consistency
    with refused(adata, KeyError, "no column 'wel'; nearest: 'well'"):
        activity(adata, different=["wel"])
    with refused(adata, TypeError, r"`same` takes a list of columns: \['plate'\]"):
        activity(adata, same="plate")
    with refused(adata, ValueError, "`metric`='dot'"):
        activity(adata, metric="dot")
    with refused(adata, KeyError, "call `ps.ev.phenotypic_activity"):
        consistency(adata, "target")
    with refused(adata, KeyError, "no column 'targets'; nearest: 'target'"):
        consistency(adata, "targets", activity_key=None)
    with refused(adata, ValueError, r"`separator`=None right\?"):
        consistency(adata, "target", activity_key=None, separator=None)
    with refused(adata, ValueError, "has several values for 'p0', 'p1'"):
        consistency(adata, "well", activity_key=None)
    adata.obsm["X_rep"][3, 1] = np.nan
    with refused(adata, ValueError, "NaN or infinite values in 1 row"):
        activity(adata, "X_rep")
    adata.obs["plate"] = [*["A"] * 50, *["C"] * 11]
    with refused(adata, ValueError, "no 'control' among which to rank, in 'plate': 'C'"):
        activity(adata)
