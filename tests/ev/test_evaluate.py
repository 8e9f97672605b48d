"""``ps.ev.evaluate``: one call for all metrics, between floor and ceiling."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.ev.judged import screen, with_random
from tests.ev.worlds import means_of, permuted, perturbed, table_of, world
from tests.helpers import dense, fingerprint

import pertscope as ps
from pertscope.ev._evaluate import DEFAULT
from pertscope.ev._metrics import full_names, higher_is_better

SOME = ["rmse_mean", "pearson_effect", "rmse_rank_mean", "matrix_distance_effect", "deg_f1_t-test"]
KEYS = ["prediction", "name", "cell_type", "perturbation"]


def split_world(**settings) -> ad.AnnData:
    """World of which half the perturbations are in train, with predictions of the others."""
    adata = world(8, **settings)
    label = adata.obs["perturbation"].astype(str)
    adata.obs["split"] = np.where(label.isin(["control", "p0", "p1", "p2", "p3"]), "train", "test")
    for name, n_wrong in (("right", 0), ("wrong", None)):
        cells = permuted(adata[adata.obs["split"] == "test"].copy(), n_wrong)
        ps.pp.add_prediction(adata, cells, name)
    return adata


@pytest.fixture(scope="module")
def judged() -> ad.AnnData:
    adata = split_world()
    ps.pp.add_prediction(adata, means_of(ps.get.prediction(adata, "wrong")), "means")
    ps.ev.evaluate(adata)
    return adata


def test_table(judged) -> None:
    table = judged.uns["evaluation"]
    first = ["prediction", "cell_type", "perturbation", "statistic", "metric", "value"]
    assert table.columns.tolist()[:6] == first
    assert {"floor", "ceiling", "floor_name"} <= set(table)
    assert table["prediction"].cat.categories.tolist() == ["right", "wrong", "means"]
    assert all(table[c].dtype == np.float64 for c in ("value", "floor", "ceiling"))
    assert set(table["floor_name"].cat.categories) <= {
        "none",
        "no_change",
        "mean_effect",
        "permuted",
    }
    table = table_of(judged)
    assert not table.duplicated(KEYS).any()
    assert list(table.loc[table["prediction"] == "right", "name"].unique()) == list(DEFAULT)
    lost = set(DEFAULT) - set(table.loc[table["prediction"] == "means", "name"])
    assert {full_names()[n][0] for n in lost} == {
        "energy_distance",
        "mmd_rbf",
        "wasserstein",
        "variance_spearman",
    }


def test_right_and_wrong_predictions_between_floor_and_ceiling(judged) -> None:
    """The observation itself is above the ceiling, that of others at the floor or below."""
    scores = ps.get.scores(judged)["normalised"]
    for name in DEFAULT:
        if higher_is_better(name) is None:
            assert scores[name].isna().all() if name in scores else True
            continue
        right, wrong = scores.loc["right", name], scores.loc["wrong", name]
        if np.isnan(right):  # the floor is as good as the ceiling
            continue
        assert right >= 1 - 1e-9, name
        if not name.startswith("matrix_distance"):  # four conditions, none is a mean of them
            assert wrong <= 0.35, name


def test_normalised_is_what_it_says(judged) -> None:
    scores, table = ps.get.scores(judged), table_of(judged)
    for name in ("rmse_mean", "cosine_logfc", "deg_recall_at_20_t-test", "energy_distance_pca"):
        rows = table[(table["prediction"] == "wrong") & (table["name"] == name)]
        value, floor, ceiling = rows[["value", "floor", "ceiling"]].mean()
        assert scores["floor"].loc["wrong", name] == pytest.approx(floor)
        assert scores["ceiling"].loc["wrong", name] == pytest.approx(ceiling)
        want = (value - floor) / (ceiling - floor)
        assert scores["normalised"].loc["wrong", name] == pytest.approx(want)
    assert scores.loc["means"]["normalised"].isna()["energy_distance_pca"]


def test_same_values_as_the_functions_of_each_family(judged) -> None:
    adata = judged.copy()
    del adata.uns["evaluation"]
    names = ["right", "wrong"]
    ps.ev.error_metrics(adata, names, metrics=["rmse", "pearson", "weighted_mse"])
    ps.ev.rank_metrics(adata, names)
    ps.ev.collapse_metrics(adata, names)
    ps.ev.distribution_metrics(adata, names)
    ps.ev.deg_metrics(adata, names)
    keys = ["error_metrics", "rank_metrics", "collapse_metrics"]
    keys += ["distribution_metrics", "deg_metrics"]
    parts = pd.concat([table_of(adata, key) for key in keys]).set_index(KEYS)["value"]
    whole = table_of(judged).set_index(KEYS)["value"]
    common = parts.index.intersection(whole.index)
    assert len(common) > 0.6 * len(whole[names[0]]) * 2
    np.testing.assert_allclose(whole.loc[common], parts.loc[common], rtol=1e-9, atol=1e-12)


def test_without_bounds() -> None:
    adata = split_world()
    ps.ev.evaluate(adata, "wrong", metrics=SOME, floor=False, ceiling=False, key_added="mine")
    plain = table_of(adata, "mine")
    assert "evaluation" not in adata.uns
    assert {"floor", "ceiling", "floor_name"}.isdisjoint(plain)
    columns = {"floor": {"floor", "floor_name", "better"}, "ceiling": {"ceiling", "better"}}
    for bound, added in columns.items():
        off = {"floor": False, "ceiling": False} | {bound: True}
        ps.ev.evaluate(adata, "wrong", metrics=SOME, key_added="mine", **off)
        table = table_of(adata, "mine")
        assert set(table) - set(plain) == added
        np.testing.assert_array_equal(table["value"], plain["value"])
    assert ps.get.scores(adata).index.tolist() == ["wrong"]


def test_the_screen_stays_as_it_was() -> None:
    adata = split_world()
    before = dict(fingerprint(adata))
    ps.ev.evaluate(adata, metrics=SOME)
    after = dict(fingerprint(adata))
    assert [k for k in after if after[k] != before[k]] == ["uns"]
    assert set(adata.uns) == {"pertscope", "evaluation"}


def test_a_second_experiment_scores_at_the_ceiling() -> None:
    """The same means and spreads drawn again: 8 conditions x 2 cell types."""
    first, second = (world(8, n_cells=60, n_controls=200, seed=s) for s in (0, 0))
    rng = np.random.default_rng(5)
    keys = ["cell_type", "perturbation"]
    x = dense(first.X).astype(np.float32)
    for adata in (first, second):
        new = x.copy()
        for rows in first.obs.reset_index().groupby(keys, observed=True).indices.values():
            noise = rng.normal(0, 0.5, (len(rows), x.shape[1]))
            new[rows] = np.maximum(x[rows].mean(axis=0) + noise, 0)
        adata.X = new
    ps.pp.add_prediction(first, perturbed(second), "again")
    names = ["rmse_mean", "mse_effect", "pearson_effect", "mae_logfc"]
    ps.ev.evaluate(first, metrics=names)
    scores = ps.get.scores(first)
    np.testing.assert_allclose(
        scores["mean"].loc["again"], scores["ceiling"].loc["again"], rtol=0.1
    )
    np.testing.assert_allclose(scores["normalised"].loc["again"], 1, atol=0.03)


def test_profiles_without_a_logarithm() -> None:
    """Effect stands in place of logfc."""
    adata = world()
    adata.X = dense(adata.X).astype(np.float32) - 3
    ps.pp.add_prediction(adata, permuted(adata), "mine")
    ps.ev.evaluate(adata, ceiling=False)
    names = set(table_of(adata)["name"])
    assert not any(n.endswith("_logfc") for n in names)
    assert "cosine_rank_effect" in names
    assert names == {n.replace("_logfc", "_effect") for n in DEFAULT}


def test_image_screen_without_covariates() -> None:
    """No covariate columns: one context, one row for what has one value in all."""
    adata = with_random(screen())
    adata.uns["pertscope"].pop("predictions")
    ps.pp.register(adata)
    cells = adata[(adata.obs["perturbation"] != "control").to_numpy()].copy()
    cells.uns.clear()
    ps.pp.add_prediction(adata, cells, "mine")
    ps.ev.evaluate(adata, metrics=[*SOME, "dispersion_ratio_effect"])
    table = table_of(adata)
    assert "cell_type" not in table
    assert (table["perturbation"] == "(all)").sum() == 2
    assert table["value"].notna().all()


@pytest.mark.parametrize("form", ["backed", "dask"])
def test_on_disk(form, tmp_path) -> None:
    adata = split_world()
    if form == "dask":
        da = pytest.importorskip("dask.array")
        other = adata.copy()
        other.X = da.from_array(adata.X, chunks=(50, adata.n_vars), asarray=False)
    else:
        adata.write_h5ad(tmp_path / "screen.h5ad")
        other = ad.read_h5ad(tmp_path / "screen.h5ad", backed="r")
    for one in (adata, other):
        ps.ev.evaluate(one, ["right", "wrong"])
    want, got = (table_of(one).set_index(KEYS)["value"] for one in (adata, other))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(judged, form, tmp_path) -> None:
    path = tmp_path / f"screen.{form}"
    getattr(judged, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    pd.testing.assert_frame_equal(ps.get.scores(again), ps.get.scores(judged))


def test_devel(devel) -> None:
    """Real cells: no baseline beats the best floor, which knows all controls."""
    devel = devel[(devel.obs["cell_type"] == "k562").to_numpy()].copy()
    ps.pp.register(devel, perturbation_key="condition", covariate_keys=["cell_type"])
    ps.pp.split_combinations(devel, seen="parts")
    for name in ("no_change", "mean_effect", "additive"):
        getattr(ps.tl, f"fit_{name}")(devel)
    ps.ev.evaluate(devel, metrics=["rmse_mean", "pearson_effect", "rmse_rank_mean"])
    scores = ps.get.scores(devel)["mean"]
    bounds = ps.get.scores(devel)[["floor", "ceiling"]].loc["additive"]
    table = table_of(devel).set_index("name")
    for metric in scores:
        better = scores[metric].max() if higher_is_better(metric) else scores[metric].min()
        sign = 1 if higher_is_better(metric) else -1
        assert len(set(table.loc[metric, "floor_name"])) == 1
        assert sign * bounds["floor", metric] >= sign * better - 1e-4
        if "rank" not in metric:  # half the cells rank worse than a perfect sum of effects
            assert sign * bounds["ceiling", metric] > sign * bounds["floor", metric]


def test_different_conditions_are_said() -> None:
    """Without a part to judge, nothing else says that means are not of the same conditions."""
    adata = split_world()
    few = ps.get.prediction(adata, "right")
    few = few[(few.obs["perturbation"] == "p4").to_numpy()].copy()
    ps.pp.add_prediction(adata, few, "few")
    settings = {"metrics": ["rmse_mean"], "floor": False, "ceiling": False, "split": None}
    with pytest.warns(UserWarning, match="over different conditions, .* 'few over 2'"):
        ps.ev.evaluate(adata, **settings)
    ps.ev.evaluate(adata, ["right", "wrong"], **settings)
    with pytest.raises(TypeError, match=r"`metrics` takes a list: \['mse'\]"):
        ps.ev.evaluate(adata, metrics="mse", compat="cell-eval")
