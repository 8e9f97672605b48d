"""Predictions as people bring them: what is fine, what is said, and what is refused."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.ev.judged import as_prediction, observed_means, random_means, screen, with_random
from tests.ev.worlds import means_of, permuted, perturbed, table_of, world
from tests.helpers import dense, fingerprint, make_screen, refused

import pertscope as ps
from pertscope._core.predictions import align_prediction
from pertscope._core.screen import Screen

METRICS = ["rmse_mean", "pearson_effect", "cosine_rank_logfc", "deg_f1_t-test", "rmse_pca"]


def scored(adata: ad.AnnData, prediction: ad.AnnData, metrics=METRICS, **settings) -> pd.DataFrame:
    ps.pp.add_prediction(adata, prediction, "mine")
    ps.ev.evaluate(adata, metrics=metrics, **settings)
    return table_of(adata)


def test_shuffled_genes() -> None:
    cells = permuted(world())
    order = np.random.default_rng(0).permutation(cells.n_vars)
    want, got = (scored(world(), c) for c in (cells, cells[:, order].copy()))
    np.testing.assert_allclose(got["value"], want["value"], rtol=1e-6, atol=1e-9)


def test_missing_and_extra_genes() -> None:
    adata = world()
    cells = perturbed(adata)
    with refused(
        adata, ValueError, "lacks 2 of the screen's 24 genes: 'g0', 'g1'. Predict all of them"
    ):
        ps.pp.add_prediction(adata, cells[:, 2:].copy(), "mine")
    more = cells[:, :1].copy()
    more.var_names = ["extra"]
    extra = ad.concat([cells, more], axis=1, merge="first")
    with pytest.warns(UserWarning, match=r"dropped 1 gene\(s\).*'extra'"):
        got = scored(adata, extra)
    want = scored(world(), cells)
    np.testing.assert_allclose(got["value"], want["value"], rtol=1e-6, atol=1e-9)


def test_genes_that_the_screen_lost_or_gained_since() -> None:
    """A screen that was subset is judged on what is left; one that grew needs a new prediction."""
    adata = world()
    ps.pp.add_prediction(adata, perturbed(adata), "mine")
    smaller = adata[:, :10].copy()
    ps.ev.evaluate(smaller, metrics=METRICS)
    assert table_of(smaller)["value"].notna().all()
    smaller.var_names = [*smaller.var_names[:-1], "new"]
    with refused(smaller, ValueError, "'mine' lacks 1 of the screen's 10 genes: 'new'. Predict ag"):
        ps.ev.evaluate(smaller, metrics=METRICS)


def test_conditions_that_were_never_observed() -> None:
    """They are listed, twice: when they come, and when they are not scored."""
    adata = screen()
    means = random_means(adata)
    more = means.iloc[:2].set_axis(pd.MultiIndex.from_tuples([("x", "never"), ("z", "A")]))
    prediction = as_prediction(adata, pd.concat([means, more]))
    with pytest.warns(UserWarning, match=r"2 condition\(s\) were never observed.*'x\|never', 'z"):
        ps.pp.add_prediction(adata, prediction, "mine")
    with pytest.warns(UserWarning, match=r"not scored: 'x\|never', 'z\|A'") as seen:
        ps.ev.evaluate(adata, metrics=["rmse_mean"], floor=False, ceiling=False)
    assert [w.filename for w in seen] == [__file__]
    assert len(adata.uns["evaluation"]) == 12


def test_one_row_per_condition_where_cells_are_asked_for() -> None:
    adata = world()
    ps.pp.add_prediction(adata, means_of(perturbed(adata)), "means")
    ps.pp.add_prediction(adata, perturbed(adata), "cells")
    with refused(
        adata, ValueError, "'means' holds one row per condition, its mean: 'energy_distance_pca'"
    ):
        ps.ev.distribution_metrics(adata, metrics=["energy_distance"])
    ps.ev.distribution_metrics(adata, "cells", metrics=["energy_distance"])
    ps.ev.evaluate(adata, metrics=["rmse_mean", "energy_distance_pca"], ceiling=False)
    table = table_of(adata)
    assert set(table.loc[table["prediction"] == "means", "name"]) == {"rmse_mean"}
    assert set(table.loc[table["prediction"] == "cells", "metric"]) == {"rmse", "energy_distance"}


def test_controls_on_one_side_only() -> None:
    adata = with_random(screen())
    for judge in (ps.ev.deg_metrics, ps.ev.evaluate):
        with refused(adata, ValueError, "'random' brought no controls of its own: add rows label"):
            judge(adata, control="own")
        with refused(adata, ValueError, "`control`='predicted' must be one of .*'own'"):
            judge(adata, control="predicted")
    means = observed_means(adata)
    both = pd.concat([random_means(adata), means.loc[[("x", "control")]]])
    ps.pp.add_prediction(adata, as_prediction(adata, both), "random")
    with refused(adata, ValueError, r"'random' has no controls for 'y\|control'"):
        ps.ev.evaluate(adata, metrics=["rmse_effect"], control="own")
    ps.ev.evaluate(adata, metrics=["rmse_effect"])


def test_own_controls_cancel() -> None:
    """A prediction off by a constant everywhere has the right effects against its own controls."""
    adata = screen()
    means = observed_means(adata)
    ps.pp.add_prediction(adata, as_prediction(adata, means + 0.5), "shifted")
    found = {}
    for control in ("own", "observed"):
        ps.ev.evaluate(
            adata, metrics=["rmse_mean", "rmse_effect"], control=control, floor=False, ceiling=False
        )
        found[control] = ps.get.scores(adata)["mean"].loc["shifted"]
    np.testing.assert_allclose(found["own"], [0.5, 0], atol=1e-6)
    np.testing.assert_allclose(found["observed"], [0.5, 0.5], rtol=1e-6)


def test_one_row_of_own_controls_has_no_test() -> None:
    """Genes cannot be tested against a mean; effects can be taken."""
    adata = world()
    means = means_of(adata)
    controls = means[(means.obs["perturbation"] == "control").to_numpy()]
    ps.pp.add_prediction(adata, ad.concat([perturbed(adata), controls]), "mine")
    ps.ev.evaluate(adata, metrics=["pearson_effect"], control="own", floor=False, ceiling=False)
    np.testing.assert_allclose(adata.uns["evaluation"]["value"], 1, atol=1e-6)
    names = ["rmse_effect", "deg_f1_t-test"]
    ps.ev.evaluate(adata, metrics=names, control="own", floor=False, ceiling=False)
    assert set(table_of(adata)["name"]) == {"rmse_effect"}
    with refused(
        adata, ValueError, "'mine' brought one row of controls, their mean: 'deg_recall_at_20"
    ):
        ps.ev.deg_metrics(adata, control="own")


@pytest.mark.filterwarnings("ignore:a row of the prediction has 0 times:UserWarning")
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_and_zero_predictions(value) -> None:
    """No error and no best score: correlations that do not exist are NaN, and counted."""
    adata = world()
    cells = perturbed(adata)
    cells.X = np.full(cells.shape, value, dtype=np.float32)
    table = scored(adata, cells)
    found = table.groupby("name")["value"].mean()
    assert found["rmse_mean"] > 0.3
    assert found["deg_f1_t-test"] < 0.9
    assert found["cosine_rank_logfc"] == 0.5  # all predictions of a context are the same
    scores = ps.get.scores(adata)
    assert scores["normalised"].loc["mine", "rmse_mean"] < 0


def test_constant_genes() -> None:
    """Genes without variance, on both sides, change no error and break no test."""
    adata = world()
    x = dense(adata.X).astype(np.float32)
    x[:, :6] = 0
    x[:, 6:9] = 2
    adata.X = x
    table = scored(adata, permuted(adata), [*METRICS, "weighted_mse_mean", "pr_auc_wilcoxon"])
    assert table["value"].notna().all()


def test_conditions_without_a_statistic_are_not_ranked() -> None:
    """No batch holds p0 and controls, so it has no BA-ATE; the others are ranked without it."""
    adata = world(3, contexts=("x",), n_cells=220, n_controls=300, n_genes=6)
    batch = adata.obs["batch"].astype(str)
    adata.obs["batch"] = np.where(adata.obs["perturbation"] == "p0", "alone", batch)
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    names = ["rmse_ba_ate", "rmse_rank_ba_ate", "discrimination_score_l1_ba_ate"]
    ps.pp.add_prediction(adata, perturbed(adata), "mine")
    ps.ev.evaluate(adata, metrics=names, floor=False, ceiling=False)
    table = table_of(adata).pivot_table(index="perturbation", columns="name", values="value")
    assert table.index.tolist() == ["p1", "p2"]
    np.testing.assert_array_equal(table["rmse_rank_ba_ate"], 0)
    np.testing.assert_array_equal(table["discrimination_score_l1_ba_ate"], 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(value) -> None:
    adata = world()
    cells = perturbed(adata)
    x = dense(cells.X)
    row = np.flatnonzero((cells.obs["perturbation"] == "p2").to_numpy())[0]
    x[row, 3] = value
    cells.X = x
    with refused(adata, ValueError, r"NaN or infinite values, in 'x\|p2'"):
        ps.pp.add_prediction(adata, cells, "mine")


def on_scale(adata: ad.AnnData, prediction: ad.AnnData) -> ad.AnnData:
    return align_prediction(prediction, adata, Screen.of(adata), check_scale=True)


def test_counts_for_logarithms() -> None:
    adata = make_screen()
    cells = make_screen(counts=True)
    cells = cells[(cells.obs["perturbation"] != "control").to_numpy()].copy()
    match = "holds integer counts, the screen does not: put it on the screen's scale"
    with refused(adata, ValueError, match):
        ps.pp.add_prediction(adata, cells, "mine")
    with refused(adata, ValueError, match):
        on_scale(adata, cells)


def counts_screen() -> ad.AnnData:
    """Screen of counts of about 30."""
    adata = make_screen(counts=True)
    adata.X = adata.X * 10
    return adata


def test_logarithms_for_counts() -> None:
    adata = counts_screen()
    cells = adata[(adata.obs["perturbation"] != "control").to_numpy()].copy()
    cells.uns = {}
    logged = cells.copy()
    logged.X = cells.X.log1p()
    with refused(
        adata,
        ValueError,
        r"holds integer counts, the prediction values on another scale, 8\.\d* times lower",
    ):
        on_scale(adata, logged)
    on_scale(adata, cells)
    on_scale(adata, means_of(cells))  # no integers, and fine


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_another_total(factor) -> None:
    adata = world()
    cells = perturbed(adata)
    cells.X = cells.X * np.float32(factor)
    before = fingerprint(cells)
    with pytest.warns(UserWarning, match=r"has [\d.]* times the total expression of a cell of"):
        on_scale(adata, cells)
    assert fingerprint(cells) == before
    for worthless in (cells.X * 0, cells.X * -1):  # what effects without their controls look like
        cells.X = worthless
        with pytest.warns(UserWarning, match="Expression is wanted, not effects"):
            on_scale(adata, cells)


def test_totals_of_profiles_are_not_compared() -> None:
    adata = world()
    adata.X = dense(adata.X).astype(np.float32) - 2
    cells = perturbed(adata)
    cells.X = cells.X * 20
    on_scale(adata, cells)


@pytest.mark.parametrize(
    ("metrics", "error", "match"),
    [
        (["rsme_mean"], ValueError, "unknown metric 'rsme_mean'; nearest: 'rmse_mean'"),
        (["rmse"], ValueError, "unknown metric 'rmse'.* Say on which statistic: 'rmse_mean'"),
        (["rmse_means"], ValueError, "unknown metric 'rmse_means'; nearest: 'rmse_mean'"),
        (["deg_f1_ttest"], ValueError, "unknown metric 'deg_f1_ttest'; nearest: 'deg_f1_t-test'"),
        (["energy_distance_mean"], ValueError, "unknown metric .*nearest: 'energy_distance_"),
        ("rmse_mean", TypeError, r"`metrics` takes a list: \['rmse_mean'\]"),
        ([], ValueError, "there is nothing to score"),
    ],
)
def test_names_of_metrics(metrics, error, match) -> None:
    adata = with_random(screen())
    with refused(adata, error, match):
        ps.ev.evaluate(adata, metrics=metrics)


@pytest.mark.parametrize(
    ("judge", "settings", "match"),
    [
        (ps.ev.collapse_metrics, {"metrics": ["dispersion"]}, "nearest: 'dispersion_ratio'"),
        (ps.ev.distribution_metrics, {"metrics": ["mmd"]}, "nearest: 'mmd_"),
        (ps.ev.distribution_metrics, {"space": "PCA"}, "`space`='PCA' must be one of"),
        (ps.ev.deg_metrics, {"metrics": ["overlap_at_5"]}, "nearest: 'overlap_at_50'"),
        (ps.ev.deg_metrics, {"method": "ttest"}, "`method`='ttest' must be one of .*'t-test'"),
        (ps.ev.deg_metrics, {"alpha": 5}, "`alpha`=5 must lie between 0 and 1"),
        (ps.ev.evaluate, {"ceiling": "half"}, "`ceiling`='half' must be True, False, or one of"),
        (ps.ev.evaluate, {"metrics": "all"}, r"takes a list"),
    ],
)
def test_names_of_options(judge, settings, match) -> None:
    adata = with_random(screen())
    with refused(adata, (ValueError, TypeError), match):
        judge(adata, **settings)
