"""Replicates made of the experiment's own cells, and the ceilings that they give."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.ev.judged import screen, with_random
from tests.ev.worlds import table_of, world
from tests.helpers import dense, refused

import pertscope as ps
from pertscope.ev import _bounds as bounds
from pertscope.ev._comparison import Options
from pertscope.ev._judged import observe
from pertscope.ev._replicates import resample, resample_batches, split_halves

OPTIONS = Options()


def ceilings(adata, metrics, **settings) -> pd.DataFrame:
    """One row per condition and metric, one column per quantile."""
    ps.ev.ceiling(adata, metrics=metrics, **settings)
    table = table_of(adata, "ceiling")
    return table.pivot(  # noqa: PD010
        index=["name", "cell_type", "perturbation"], columns="quantile", values="value"
    )


@pytest.mark.parametrize("own", [True, False])
def test_halves_are_disjoint_and_equal(own) -> None:
    adata = screen(n_cells=7, n_controls=10)
    judged = observe(adata, None)
    pair = split_halves(judged, OPTIONS, draw=0, own_controls=own)
    whole = judged.side
    n_left_out = 0
    for i in range(len(pair)):
        a, b = (s.populations.rows(int(s.groups[i])) for s in (pair.predicted, pair.observed))
        cells = whole.populations.rows(int(whole.groups[i]))
        assert not set(a) & set(b)
        assert len(a) == len(b) == len(cells) // 2
        assert set(a) | set(b) <= set(cells)
        n_left_out += len(cells) - len(a) - len(b)
        controls = whole.populations.rows(int(whole.control_groups[i]))
        c, d = (s.controls.rows(int(s.control_groups[i])) for s in (pair.predicted, pair.observed))
        if own:
            assert not set(c) & set(d)
            assert len(c) == len(d) == len(controls) // 2
            assert set(c) | set(d) <= set(controls)
        else:
            assert set(c) == set(d) == set(controls)
    assert n_left_out == len(pair)
    rows = pair.predicted.populations.rows
    again = split_halves(judged, OPTIONS, draw=0, own_controls=own).predicted
    assert np.array_equal(rows(2), again.populations.rows(2))
    other = split_halves(judged, OPTIONS, draw=1, own_controls=own).predicted
    assert not np.array_equal(rows(2), other.populations.rows(2))


def experiment(rng, n: int, mean: np.ndarray, control: np.ndarray, spread: float) -> ad.AnnData:
    """Gaussian cells of p conditions and one control, registered."""
    p, n_genes = mean.shape
    parts = [control + rng.normal(0, spread, (n, n_genes))]
    parts += [m + rng.normal(0, spread, (n, n_genes)) for m in mean]
    labels = np.repeat(["control", *(f"p{i:02d}" for i in range(p))], n)
    obs = pd.DataFrame({"perturbation": labels}, index=[f"c{i}" for i in range(len(labels))])
    adata = ad.AnnData(np.concatenate(parts), obs=obs)
    ps.pp.register(adata)
    return adata


def effects(adata: ad.AnnData) -> np.ndarray:
    mean = pd.DataFrame(adata.X).groupby(adata.obs["perturbation"].to_numpy()).mean()
    return mean.drop("control").to_numpy() - mean.loc["control"].to_numpy()


def test_halves_foretell_a_second_experiment() -> None:
    """The laws of whole depth, against experiments that are really done again.

    Effects of 12 conditions, mean over conditions; 20 experiments done twice.
    """
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 0.25, (12, 40))
    oracles = {
        "rmse_effect": lambda a, b: np.sqrt(np.mean((a - b) ** 2, axis=1)),
        "mse_effect": lambda a, b: np.mean((a - b) ** 2, axis=1),
        "mae_effect": lambda a, b: np.mean(np.abs(a - b), axis=1),
        "pearson_effect": lambda a, b: np.array(
            [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
        ),
    }
    foretold, done = [], []
    for _ in range(20):
        first, second = (experiment(rng, 40, mean, np.zeros(40), 1.0) for _ in range(2))
        ps.ev.ceiling(first, metrics=list(oracles), n_outer=4)
        table = table_of(first, "ceiling").query("quantile == 0.5")
        foretold.append(table.groupby("name")["value"].mean())
        a, b = effects(first), effects(second)
        done.append({name: oracle(a, b).mean() for name, oracle in oracles.items()})
    foretold, done = pd.DataFrame(foretold), pd.DataFrame(done)
    error = np.sqrt((foretold.var() + done.var()) / 20)
    gap = (foretold.mean() - done.mean()).abs()
    for name in oracles:
        assert gap[name] < 3.5 * error[name], (name, foretold[name].mean(), done[name].mean())
        law = bounds.whole_depth(np.array([0.5]), name.split("_")[0])[0]
        assert abs(law - 0.5) > 4 * gap[name], "the law is no matter here: a poor test"


def test_laws() -> None:
    value = np.array([0.6, -0.2, np.nan])
    np.testing.assert_allclose(bounds.whole_depth(value, "mse"), value / 2)
    np.testing.assert_allclose(bounds.whole_depth(value, "rmse"), value / np.sqrt(2))
    np.testing.assert_allclose(bounds.whole_depth(value, "pearson"), [0.75, -0.2, np.nan])
    np.testing.assert_allclose(bounds.whole_depth(value, "rmse_rank"), value)


def test_bootstrap_has_the_variance_of_the_mean() -> None:
    """Squared error of a resampled mean: on average the cells' variance over their number."""
    adata = screen(n_cells=20)
    found = ceilings(adata, ["mse_mean"], method="bootstrap", n_outer=400).loc["mse_mean"]
    x, obs = dense(adata.X), adata.obs
    for (context, label), quantiles in found.iterrows():
        value = np.trapezoid(quantiles, found.columns)  # the mean of the draws
        here = ((obs["cell_type"] == context) & (obs["perturbation"] == label)).to_numpy()
        want = x[here].var(axis=0).mean() / here.sum()
        assert value == pytest.approx(want, rel=0.15)


def test_resampled_cells() -> None:
    """As many cells as there were, of the same condition; so are controls, if they are its own."""
    adata = screen(n_cells=9)
    judged = observe(adata, None)
    for own in (True, False):
        pair = resample(judged, OPTIONS, draw=2, own_controls=own)
        side = pair.predicted
        assert np.array_equal(side.moments.n, judged.side.moments.n)
        x = dense(adata.X)
        for i in range(len(pair)):
            rows = side.populations.rows(int(side.groups[i]))
            cells = judged.side.populations.rows(int(judged.side.groups[i]))
            assert set(rows) <= set(cells)
            assert len(rows) == len(cells)
            np.testing.assert_allclose(side.moments.mean[i], x[rows].mean(axis=0), rtol=1e-6)
        same = np.array_equal(side.control_moments.mean, judged.side.control_moments.mean)
        assert same == (not own)


def test_hierarchical_draws_batches() -> None:
    """A batch is drawn for all conditions alike, and each time with as many cells as it has."""
    adata = screen(n_cells=12, n_controls=12)
    adata.obs["batch"] = pd.Categorical([f"b{i % 3}" for i in range(adata.n_obs)])
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    judged = observe(adata, None)
    batch = adata.obs["batch"].to_numpy()
    drawn = set()
    for draw in range(8):
        pairs = list(resample_batches(judged, OPTIONS, draw=draw, own_controls=True, n_inner=2))
        times = []
        for pair in pairs:
            of = pair.predicted.populations
            for group in range(of.n_groups):
                rows, cells = of.rows(group), judged.side.populations.rows(group)
                here = pd.Series(batch[rows]).value_counts()
                there = pd.Series(batch[cells]).value_counts()
                times.append((here / there).reindex(["b0", "b1", "b2"]))
        times = pd.DataFrame(times)
        known = times.fillna(0)[[b for b in times if times[b].notna().any()]]
        for name in known:
            values = known.loc[times[name].notna(), name].unique()
            assert len(values) == 1, "conditions drew the batch unequally often"
            assert values[0] == round(values[0])
            drawn.add(values[0])
        cells = [pair.predicted.populations.repeats for pair in pairs]
        assert not np.array_equal(*cells), "cells within batches were not drawn anew"
    assert drawn >= {1, 2}


@pytest.mark.parametrize("method", bounds.METHODS)
def test_seeds_share_no_draw(method) -> None:
    adata = screen(n_cells=12, n_controls=12)
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    judged = observe(adata, None)
    seen = []
    for seed in range(4):
        for pair in bounds.replicates(
            judged, Options(seed=seed), method=method, own_controls=True, n_outer=5, n_inner=2
        ):
            of = pair.predicted.populations
            seen.append(of.codes if of.repeats is None else of.repeats)
    assert len({rows.tobytes() for rows in seen}) == len(seen)


def test_hierarchical_is_wider_where_batches_differ() -> None:
    adata = world(n_cells=40, n_controls=60)
    x = dense(adata.X)
    x[(adata.obs["batch"] == "b1").to_numpy()] += np.linspace(0, 1, adata.n_vars)
    adata.X = x.astype(np.float32)
    names = ["rmse_mean", "rmse_effect"]
    cells, batches = (
        ceilings(adata, names, method=method).max(axis=1).groupby("name").mean()
        for method in ("bootstrap", "hierarchical-bootstrap")
    )
    assert batches["rmse_mean"] > 2 * cells["rmse_mean"]
    assert batches["rmse_effect"] < 1.7 * cells["rmse_effect"]  # controls share their batch


def test_a_condition_that_a_draw_misses() -> None:
    """Perturbation A lies in one batch; where that is not drawn it has no value, others do."""
    adata = screen(("A", "B", "C"), n_cells=6)
    only = (adata.obs["perturbation"] == "A").to_numpy()
    adata.obs["batch"] = pd.Categorical(
        np.where(only, "b0", [f"b{i % 4}" for i in range(adata.n_obs)])
    )
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    names = ["rmse_mean", "rmse_rank_mean", "deg_f1_t-test", "matrix_distance_effect"]
    settings = {"method": "hierarchical-bootstrap", "n_outer": 12, "n_inner": 1}
    found = ceilings(adata, names, **settings)
    assert found.notna().all(axis=None)
    assert (found.loc["rmse_rank_mean"] >= 0).all(axis=None)


def test_one_cell_has_no_halves() -> None:
    """NaN for it; its neighbours are ranked among themselves."""
    adata = screen(("A", "B", "C", "D"), n_cells=8)
    rows = np.flatnonzero((adata.obs["perturbation"] == "A").to_numpy())
    first = rows[(adata.obs["cell_type"] == "x").to_numpy()[rows]]
    adata = adata[np.setdiff1d(np.arange(adata.n_obs), first[1:])].copy()
    names = [
        "rmse_mean",
        "pearson_effect",
        "rmse_rank_mean",
        "discrimination_score_l2_effect",
        "deg_f1_t-test",
        "overlap_at_N_wilcoxon",
        "energy_distance_genes",
        "dispersion_ratio_effect",
        "matrix_distance_effect",
        "count_spearman_t-test",
        "magnitude_pearson_genes",
    ]
    adata.obs["split"] = "test"
    found = ceilings(adata, names, n_outer=3, split="test")
    for name in names:
        if (name, "x", "A") in found.index:
            assert found.loc[(name, "x", "A")].isna().all(), name
    assert found.loc["rmse_mean"].drop(("x", "A")).notna().all(axis=None)
    for name in ("rmse_rank_mean", "discrimination_score_l2_effect"):
        rest = found.loc[name].drop(("x", "A"))
        assert ((rest >= 0) & (rest <= 1)).all(axis=None)
    alone = (adata.obs["perturbation"] == "A") & (adata.obs["cell_type"] == "x")
    adata.obs["split"] = np.where(alone, "train", "test")
    want = ceilings(adata, names, n_outer=3, split="test")
    np.testing.assert_allclose(found.loc[want.index], want, rtol=1e-9)


@pytest.mark.parametrize("method", bounds.METHODS)
def test_table(method) -> None:
    adata = screen()
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    settings = {"metrics": ["rmse_mean", "dispersion_ratio_effect"], "method": method}
    ps.ev.ceiling(adata, n_outer=3, n_inner=2, **settings)
    table = adata.uns["ceiling"]
    assert len(table) == 21 * (12 + 2)
    assert table.columns.tolist() == [
        "cell_type",
        "perturbation",
        "statistic",
        "metric",
        "quantile",
        "value",
    ]
    keys = ["cell_type", "perturbation", "metric"]
    for _, rows in table.groupby(keys, observed=True):
        assert rows["quantile"].tolist() == pytest.approx(np.linspace(0, 1, 21))
        assert rows["value"].is_monotonic_increasing
    ps.ev.ceiling(adata, n_outer=3, n_inner=2, key_added="again", **settings)
    pd.testing.assert_frame_equal(adata.uns["again"], table)


def test_evaluate_takes_the_quantile_that_is_counted_from_the_best() -> None:
    adata = with_random(screen(n_cells=8))
    names = ["rmse_mean", "pearson_mean"]
    ps.ev.evaluate(adata, metrics=names, ceiling="bootstrap", floor=False)
    got = table_of(adata).set_index(["name", "cell_type", "perturbation"])["ceiling"]
    want = ceilings(adata, names, method="bootstrap", n_outer=50, control="observed")
    for name, quantile in (("rmse_mean", 0.9), ("pearson_mean", 0.1)):
        column = want.columns[np.argmin(np.abs(want.columns - quantile))]
        np.testing.assert_allclose(got.loc[[name]].to_numpy(), want.loc[[name], column])


def test_refusals() -> None:
    adata = screen()
    with refused(adata, ValueError, "draws batches, and the screen has none: register it with"):
        ps.ev.ceiling(adata, method="hierarchical-bootstrap")
    with refused(adata, ValueError, "`method`='halves' must be one of .*'split-half'"):
        ps.ev.ceiling(adata, method="halves")
    with refused(adata, ValueError, "`control`='mine' must be one of"):
        ps.ev.ceiling(adata, control="mine")
    with refused(adata, ValueError, "`n_outer`=0 and `n_inner`=10 must be at least 1"):
        ps.ev.ceiling(adata, n_outer=0)
    with refused(adata, ValueError, "unknown metric 'rmse_means'; nearest: 'rmse_mean'"):
        ps.ev.ceiling(adata, metrics=["rmse_means"])
    with refused(adata, TypeError, r"`metrics` takes a list: \['rmse_mean'\]"):
        ps.ev.ceiling(adata, metrics="rmse_mean")
    with refused(adata, ValueError, "`batch_size`='huge' must be one of"):
        ps.ev.ceiling(adata, batch_size="huge")
    for name in ("macro_f1_label", "macro_f1_per_gene_label"):
        with refused(adata, ValueError, "compared on screens of labels; of cells, ask for 'deg_f1"):
            ps.ev.ceiling(adata, metrics=[name])


@pytest.mark.parametrize("method", bounds.METHODS)
def test_a_screen_of_effects_has_no_replicates(method) -> None:
    adata = screen()
    effects_, labels = ps.tl.effects(adata), ps.tl.deg_labels(adata, min_cells=2)
    for made, metric in ((effects_, "l2_effect"), (labels, "macro_f1_label")):
        with refused(made, ValueError, "no condition has two rows, .* compute the ceiling on the"):
            ps.ev.ceiling(made, metrics=[metric], method=method)
    ps.pp.add_prediction(effects_, effects_.copy(), "same")
    settings = {"metrics": ["l2_effect"], "split": None, "floor": False, "ceiling": method}
    if method == bounds.SPLIT_HALF:
        ps.ev.evaluate(effects_, **settings)
        assert effects_.uns["evaluation"]["ceiling"].isna().all()
        return
    with refused(effects_, ValueError, "no condition has two rows, .* compute the ceiling on the"):
        ps.ev.evaluate(effects_, **settings)
