"""The gap between floor and ceiling, and whether it is closed by more than luck."""

from __future__ import annotations

import contextlib
import io

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.ev.gaps import rows_of, scored_screen
from tests.helpers import fingerprint, refused
from tests.models.response.known_effects import add, effect_screen, table_of

import pertscope as ps
from pertscope.ev._gap_intervals import PER_BLOCK, interval, resampled
from pertscope.ev._median_kernels import weighted_medians

GAINS = {"knn_good": 1.0, "knn_useless": 0.0, "knn_bad": -0.5}
SIGN = {"l2_effect": -1, "pearson_effect": 1}


def judge(adata: ad.AnnData, *args, **keys) -> str:
    """Call it, and return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        ps.ev.gap_closed(adata, *args, **keys)
    return said.getvalue()


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["l2_effect", "pearson_effect"])
def test_values(metric) -> None:
    """Against pandas: of everything, of each line, and of each fold."""
    adata = scored_screen(GAINS, metric=metric)
    judge(adata, metric=metric)
    scores = adata.uns["error_metrics"].assign(
        fold=lambda t: (t["perturbation"].str[1:].astype(int) % 4).astype(str)
    )
    best = adata.uns["ceiling"]
    best = best[np.isclose(best["quantile"], 0.9 if SIGN[metric] < 0 else 0.1)]
    best = best.assign(prediction="best", fold=scores["fold"].iloc[: len(best)].to_numpy())
    every = pd.concat([scores, best])
    table = adata.uns["gap_closed"]
    assert len(table) == 4 * (1 + 2 + 2 * 4) * 2
    for _, row in table.iterrows():
        here = every
        for key in ("line", "fold"):
            here = here if row[key] == "(all)" else here[here[key] == row[key]]
        of = here.groupby("prediction")["value"].agg(row["summary"])
        value, floor, ceiling = of[row["prediction"]], of["train_mean"], of["best"]
        got = row[["value", "floor", "ceiling", "gain", "gap_closed"]].to_numpy(float)
        gain = SIGN[metric] * (value - floor)
        want = [value, floor, ceiling, gain, (value - floor) / (ceiling - floor)]
        np.testing.assert_allclose(got, want, atol=1e-12)
        names = [p for p in of.index if p != "best"]
        order = of[names].rank(ascending=SIGN[metric] < 0)
        assert row["rank"] == order[row["prediction"]]
        assert row["beats_floor"] == (row["gain_low"] > 0)
        assert row["n_conditions"] == len(here) / 5
        if row["prediction"] != "train_mean":
            assert row["gain_low"] < row["gain"] < row["gain_high"]
            assert row["ci_low"] < row["gap_closed"] < row["ci_high"]
    assert set(table["floor_name"]) == {"train_mean"}
    assert set(table["metric"]) == {metric}


def test_what_is_written(tmp_path) -> None:
    adata = scored_screen(GAINS)
    again = adata.copy()
    before = fingerprint(adata.obs), fingerprint(adata.X)
    assert ps.ev.gap_closed(adata, key_added="mine") is None
    assert (fingerprint(adata.obs), fingerprint(adata.X)) == before
    ps.ev.gap_closed(again, key_added="mine")
    assert fingerprint(again.uns["mine"]) == fingerprint(adata.uns["mine"])
    types = adata.uns["mine"].dtypes.astype(str)
    assert types["beats_floor"] == "bool"
    assert types["n_conditions"] == "int64"
    assert (types[["value", "gap_closed", "gain_low", "rank"]] == "float64").all()
    assert (types[["prediction", "line", "fold", "summary"]] == "category").all()
    adata.write_h5ad(tmp_path / "screen.h5ad")
    read = ad.read_h5ad(tmp_path / "screen.h5ad").uns["mine"]
    pd.testing.assert_frame_equal(read, adata.uns["mine"], check_categorical=False)
    assert list(ps.get.scores(adata).index) == ["train_mean", *GAINS]  # no table of scores


def test_without_covariates_folds_and_ceiling() -> None:
    adata = scored_screen(GAINS, contexts=("x",), ceiling=None)
    del adata.obs["fold"]
    ps.pp.register(adata, perturbation_key="gene")
    adata.uns["error_metrics"] = adata.uns["error_metrics"].drop(columns="line")
    judge(adata, ["knn_good"], ceiling=None)
    table = adata.uns["gap_closed"]
    assert table["prediction"].tolist() == ["train_mean"] * 2 + ["knn_good"] * 2
    assert table[["ceiling", "gap_closed", "ci_low", "ci_high"]].isna().all(axis=None)
    assert table["beats_floor"].tolist() == [False, False, True, True]
    assert "line" not in table


def test_a_ceiling_that_is_no_better_than_the_floor() -> None:
    adata = scored_screen(GAINS, ceiling=-1.0)
    said = judge(adata)
    assert adata.uns["gap_closed"]["gap_closed"].isna().all()
    assert rows_of(adata, "knn_good")["gain"].gt(0).all()
    assert "knn_good" in said
    assert "closes" not in said
    unsure = scored_screen(GAINS, ceiling=-0.39, contexts=("x",))
    unsure.uns["ceiling"]["value"] += np.tile(np.random.default_rng(1).normal(size=40), 21)
    judge(unsure)
    row = rows_of(unsure, "knn_good", fold="(all)").iloc[0]
    assert np.isnan(row["ci_low"])  # whether there is a gap is not sure


def test_predictions_that_lack_conditions() -> None:
    adata = scored_screen(GAINS)
    table = adata.uns["error_metrics"]
    few = (table["prediction"] == "knn_bad") & (table["perturbation"] > "p009")
    table.loc[few, "value"] = np.nan
    table.loc[table["prediction"] == "knn_useless", "value"] = np.nan
    with pytest.warns(UserWarning, match=r"2 pred.*no rank there: 'knn_useless', 'knn_bad'") as w:
        judge(adata)
    assert len(w) == 1
    row = rows_of(adata, "knn_bad", line="(all)").iloc[0]
    assert row["n_conditions"] == 20
    assert rows_of(adata, "knn_bad")["rank"].isna().all()
    floor = table[(table["prediction"] == "train_mean") & (table["perturbation"] <= "p009")]
    np.testing.assert_allclose(row["floor"], floor["value"].mean())
    none = rows_of(adata, "knn_useless")
    assert none["n_conditions"].eq(0).all()
    assert none[["value", "gain", "rank"]].isna().all(axis=None)
    assert not none["beats_floor"].any()
    full = rows_of(adata, "knn_good", line="(all)").iloc[0]
    assert full["n_conditions"] == 80
    assert rows_of(adata, "knn_good")["rank"].eq(1).all()
    assert rows_of(adata, "train_mean")["rank"].eq(2).all()


# -- intervals -----------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 999))
def test_weighted_medians(n, k, seed) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, (k, n)).astype(float)
    counts = rng.integers(0, 4, (6, n))
    counts[:, rng.integers(n)] += 1
    order = np.argsort(values, axis=1, kind="stable")
    want = [[np.median(np.repeat(row, c)) for row in values] for c in counts]
    np.testing.assert_array_equal(weighted_medians(values, order, counts), want)


def test_samples_draw_perturbations_with_all_their_conditions() -> None:
    rng = np.random.default_rng(0)
    values, units = rng.normal(size=(15, 2)), np.repeat(np.arange(5), 3)
    observed, samples = resampled(values, units, seed=7)
    np.testing.assert_allclose(observed["median"], np.median(values, axis=0))
    drawn = np.random.default_rng(7).multinomial(5, np.full(5, 0.2), PER_BLOCK)
    for i in range(20):
        sample = np.concatenate([np.repeat(values[units == u], drawn[i, u], 0) for u in range(5)])
        np.testing.assert_allclose(samples["mean"][i], sample.mean(axis=0))
        np.testing.assert_allclose(samples["median"][i], np.median(sample, axis=0))


def test_the_interval_is_that_of_a_comparison() -> None:
    """Of one prediction and one line it is the paired bootstrap of ``get.comparison``."""
    adata = scored_screen({"knn_good": 0.3}, contexts=("x",), n=60)
    judge(adata)
    row = rows_of(adata, "knn_good", fold="(all)").iloc[0]
    other = ps.get.comparison(adata, "train_mean", "knn_good").iloc[0]
    got = row[["gain", "gain_low", "gain_high"]].to_numpy(float)
    want = other[["difference", "ci_low", "ci_high"]].to_numpy(float)
    np.testing.assert_allclose(got, want, atol=0.06 * (want[2] - want[1]))


def test_a_perturbation_in_two_lines_counts_once() -> None:
    """Twice the same line says no more than once."""
    adata = scored_screen({"knn_good": 0.3})
    table = adata.uns["error_metrics"]
    for name in ("train_mean", "knn_good"):
        where = table["prediction"] == name
        first = table.loc[where & (table["line"] == "x"), "value"].to_numpy()
        table.loc[where & (table["line"] == "y"), "value"] = first
    judge(adata, ceiling=None)
    rows = rows_of(adata, "knn_good", fold="(all)").set_index("line")
    for end in ("gain_low", "gain_high"):
        np.testing.assert_allclose(rows.loc["(all)", end], rows.loc["x", end])


def test_many_useless_predictions_do_not_beat_the_floor_by_luck() -> None:
    """Of ten, one would in every fifth screen, if each had an interval of its own."""
    rng = np.random.default_rng(0)
    n_worlds, n, k = 100, 50, 10
    wins = {0.95: 0, 1 - 0.05 / k: 0}
    for world in range(n_worlds):
        gains, samples = resampled(rng.normal(size=(n, k)), np.arange(n), seed=world)
        for confidence in wins:
            sure = interval(gains["mean"], samples["mean"], n_units=n, confidence=confidence)
            wins[confidence] += (sure.low > 0).any()
    alone, together = (count / n_worlds for count in wins.values())
    assert alone > 0.12
    assert together < 0.06


@pytest.mark.parametrize("n", [4, 90])
def test_far_tails_are_those_of_student(n) -> None:
    """Where a sample or none lies in a tail, percentiles alone are the luck of one draw."""
    confidence, values = 1 - 0.05 / 90, np.random.default_rng(1).normal(size=(n, 3))
    observed, samples = resampled(values, np.arange(n), seed=0)
    got = interval(observed["mean"], samples["mean"], n_units=n, confidence=confidence)
    mean, sem = values.mean(axis=0), stats.sem(values, axis=0)
    low, high = stats.t.interval(confidence, n - 1, mean, sem)
    rounding = 0.02 * (high - low)
    assert (got.low < low + rounding).all()
    assert (got.high > high - rounding).all()
    assert (got.high - got.low < 1.2 * (high - low)).all()
    near = interval(observed["mean"], samples["mean"], n_units=200, confidence=0.9)
    tail = stats.norm.cdf(-np.sqrt(200 / 199) * stats.t.ppf(0.95, 199))
    np.testing.assert_allclose(near.low, np.quantile(samples["mean"], tail, axis=0))


@pytest.mark.parametrize("summary", ["mean", "median"])
def test_ninety_useless_predictions_do_not_beat_the_floor_by_luck(summary) -> None:
    rng, wins, n_worlds = np.random.default_rng(5), 0, 60
    for world in range(n_worlds):
        gains, samples = resampled(rng.normal(size=(60, 90)), np.arange(60), seed=world)
        sure = interval(gains[summary], samples[summary], n_units=60, confidence=1 - 0.05 / 90)
        wins += (sure.low > 0).any()
    assert wins / n_worlds < 0.09


def test_rounding_is_no_gain() -> None:
    adata = scored_screen({"knn_a": 1.0}, spread=0)
    table = adata.uns["error_metrics"]
    floor = table.loc[table["prediction"] == "train_mean", "value"].to_numpy()
    rows = table["prediction"] == "knn_a"
    table.loc[rows, "value"] = floor * (1 - 1e-7)  # better everywhere, by float32's last digit
    judge(adata)
    assert (rows_of(adata, "knn_a")["gain"] == 0).all()
    assert not rows_of(adata, "knn_a")["beats_floor"].any()
    table.loc[rows, "value"] = floor * (1 - 1e-5)
    judge(adata)
    assert rows_of(adata, "knn_a")["beats_floor"].any()


def test_few_units_have_wide_intervals_and_one_has_none() -> None:
    one = interval(np.ones(2), np.ones((9, 2)), n_units=1, confidence=0.9)
    assert np.isnan(one.low).all()
    samples = np.random.default_rng(0).normal(size=(4000, 1))
    few, many = (interval(np.zeros(1), samples, n_units=n, confidence=0.9) for n in (5, 500))
    assert few.high > 1.2 * many.high
    np.testing.assert_allclose(many.high, np.quantile(samples, 0.95), atol=0.02)


# -- verdict -------------------------------------------------------------------------------------


def test_verdict() -> None:
    adata = scored_screen(GAINS)
    said = judge(adata)
    assert said.startswith("l2_effect: 1 of 3 prediction(s) beat 'train_mean' (95 % intervals of")
    assert "over 40 perturbations, for all of them together): 'knn_good'." in said
    row = rows_of(adata, "knn_good", line="(all)").iloc[0]
    assert f"'knn_good' closes {100 * row['gap_closed']:.0f} % [" in said
    none = scored_screen({"knn_a": 0.0, "knn_b": -0.1, "knn_random": 3.0})
    said = judge(none, ceiling=None)
    assert "none of 2 prediction(s) beats 'train_mean' convincingly" in said
    assert "The best, 'knn_a', gains" in said
    bounds = scored_screen({"knn_random": 0.0, "no_change": -1.0, "knn_idealised": 1.0})
    assert judge(bounds, ceiling=None) == "l2_effect: only bounds were judged.\n"
    assert rows_of(bounds, "knn_idealised", line="(all)")["beats_floor"].all()


def test_embeddings_that_know_and_do_not_know() -> None:
    """The whole way: an informative embedding beats the train mean, a random one does not."""
    adata = effect_screen(60, contexts=("x", "y"))
    add(adata, table_of(adata, "random"), "noise")
    bounds = ["train_mean", "no_change", "idealised"]
    ps.tl.cross_validate(adata, "ridge", ["true", "noise"], bounds=[*bounds, "random"])
    ps.ev.error_metrics(adata, statistics=["effect"], metrics=["l2"], split=None)
    said = judge(adata, ceiling=None)
    assert "1 of 2 prediction(s) beat 'train_mean'" in said  # ridge_random is a bound by its name
    assert not rows_of(adata, "ridge_noise")["beats_floor"].any()
    assert rows_of(adata, "ridge_true")["rank"].le(2).all()
    assert rows_of(adata, "ridge_true")["fold"].nunique() == 6


def test_experimental_error_of_the_cells() -> None:
    """The ceiling of BA-ATEs comes from the cells that they were made of."""
    cells = ps.datasets.simulate_screen(
        n_perturbations=10, n_genes=30, n_cells_per_condition=20, seed=1
    )
    ps.pp.register(cells, covariate_keys=["cell_type"], batch_key="batch")
    ps.pp.normalize(cells)
    method = "hierarchical-bootstrap"
    ps.ev.ceiling(cells, metrics=["l2_ba_ate"], method=method, n_outer=2, n_inner=2)
    screen = ps.tl.effects(cells)
    genes = sorted(set(screen.obs["perturbation"]) - {"control"})
    with contextlib.redirect_stdout(io.StringIO()):
        table = pd.DataFrame({"number": range(10)}, index=genes)
        ps.pp.add_perturbation_embedding(screen, table, "number")
    ps.tl.cross_validate(screen, "knn", "number", bounds=["train_mean"], n_neighbors=[2])
    ps.ev.error_metrics(screen, statistics=["effect"], metrics=["l2"], split=None)
    judge(screen, ceiling=cells.uns["ceiling"])
    rows = cells.uns["ceiling"].query("abs(quantile - 0.9) < 1e-9")
    for line, of_line in rows.groupby("cell_type", observed=True):
        row = rows_of(screen, "knn_number", cell_type=line, fold="(all)").iloc[0]
        np.testing.assert_allclose(row["ceiling"], of_line["value"].mean())
        gap = (row["floor"] - row["value"]) / (row["floor"] - row["ceiling"])
        np.testing.assert_allclose(row["gap_closed"], gap)


# -- refusals ------------------------------------------------------------------------------------


def test_conditions_without_a_ceiling_are_named() -> None:
    adata = scored_screen(GAINS)
    table = adata.uns["ceiling"]
    adata.uns["ceiling"] = table[(table["perturbation"] != "p003") | (table["line"] != "y")]
    with pytest.warns(UserWarning, match=r"1 of 80 conditions have no ceiling.*'y\|p003'"):
        judge(adata)
    assert rows_of(adata, "knn_good", line="(all)")["n_conditions"].eq(79).all()


@pytest.mark.parametrize(
    ("keys", "error", "match"),
    [
        ({"metric": "l2_efect"}, KeyError, "no metric 'l2_efect'; nearest: 'l2_effect'"),
        ({"metric": "rmse_effect"}, KeyError, r"metrics=\['rmse'\], statistics=\['effect'\]"),
        ({"metric": "dispersion_ratio_effect"}, ValueError, "is a diagnosis"),
        ({"metric": "matrix_distance_effect"}, ValueError, "has one value per"),
        ({"floor": "no_change"}, KeyError, r"'no_change' has no score.*bounds"),
        ({"predictions": "knn_god"}, KeyError, "'knn_god' has no score .*nearest: 'knn_good'"),
        ({"ceiling": "celing"}, KeyError, r"no ceiling 'celing': pass .*cells.uns\['ceiling'\]"),
        ({"ceiling": pd.DataFrame({"a": [1]})}, TypeError, "a table of `ps.ev.ceiling`"),
        ({"confidence": 95}, ValueError, "`confidence`=95 must lie between 0 and 1"),
        ({"key_added": "a/b"}, ValueError, "cannot be stored"),
    ],
)
def test_refusals(keys, error, match) -> None:
    adata = scored_screen(GAINS)
    with refused(adata, error, match):
        ps.ev.gap_closed(adata, **keys)


def test_ceilings_of_other_screens_are_refused() -> None:
    adata = scored_screen(GAINS)
    table = adata.uns["ceiling"]
    with refused(adata, ValueError, "has none of the judged conditions"):
        ps.ev.gap_closed(adata, ceiling=table.assign(line="z"))
    with refused(adata, ValueError, "has no column 'line'"):
        ps.ev.gap_closed(adata, ceiling=table.drop(columns="line"))
    with refused(adata, KeyError, "no 'l2_effect'; it has 'rmse_effect'"):
        ps.ev.gap_closed(adata, ceiling=table.assign(metric="rmse"))
    both = pd.concat([table, table.assign(statistic="ba_ate")])
    with refused(adata, ValueError, "of 'effect' and of 'ba_ate'"):
        ps.ev.gap_closed(adata, ceiling=both)
    nothing = effect_screen(20)
    with refused(nothing, KeyError, "nothing was judged yet"):
        ps.ev.gap_closed(nothing)
