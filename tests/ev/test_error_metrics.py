from __future__ import annotations

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from tests.ev.judged import (
    as_prediction,
    observed_means,
    random_means,
    screen,
    statistic_of,
    values,
    with_random,
)
from tests.helpers import dense, fingerprint, refused

import pertscope as ps
from pertscope._core import distances
from pertscope.ev.families.errors import METRICS

ORACLES = {
    "mse": lambda p, o: sk.mean_squared_error(o, p),
    "rmse": lambda p, o: sk.root_mean_squared_error(o, p),
    "mae": lambda p, o: sk.mean_absolute_error(o, p),
    "l2": lambda p, o: np.sqrt(np.sum((p - o) ** 2)),
    "cosine": lambda p, o: sk.pairwise.cosine_similarity(p[None], o[None])[0, 0],
    "pearson": lambda p, o: stats.pearsonr(p, o)[0],
    "spearman": lambda p, o: stats.spearmanr(p, o)[0],
    "r2": lambda p, o: sk.r2_score(o, p),
}
STATISTICS = ("mean", "effect", "logfc")


def test_every_metric_has_an_oracle() -> None:
    assert {*ORACLES, "weighted_mse", "weighted_r2"} == set(METRICS)


@pytest.mark.parametrize("metric", ORACLES)
@given(st.data())
def test_kernels(metric, data) -> None:
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(2, 6)))
    cells = st.integers(-(10**6), 10**6).map(lambda i: i / 1000) | st.integers(-2, 2).map(float)
    a, b = (data.draw(hnp.arrays(np.float64, shape, elements=cells)) for _ in range(2))
    got = getattr(distances, metric)(a, b)
    assert got.shape == (len(a),)
    low, high = METRICS[metric].limits
    for p, o, value in zip(a, b, got, strict=True):
        constant = [np.ptp(v) == 0 for v in (p, o)]
        undefined = {"pearson": any(constant), "spearman": any(constant), "r2": constant[1]}
        if undefined.get(metric, False):
            assert np.isnan(value)
        elif metric == "cosine" and (not p.any() or not o.any()):
            assert value == 0
        else:
            assert low <= value <= high
            np.testing.assert_allclose(value, ORACLES[metric](p, o), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_small_screen(statistic) -> None:
    adata = with_random(screen())
    ps.ev.error_metrics(adata, statistics=[statistic], metrics=list(ORACLES))
    predicted = random_means(adata)
    observed = observed_means(adata).loc[predicted.index]
    p, o = (statistic_of(adata, m, statistic) for m in (predicted, observed))
    for metric, oracle in ORACLES.items():
        got = values(adata, "error_metrics", metric, statistic)
        assert got.index.tolist() == predicted.index.tolist()
        want = [oracle(p.loc[i].to_numpy(), o.loc[i].to_numpy()) for i in p.index]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=metric)


def test_devel(devel) -> None:
    """Baselines on real cells, against scikit-learn and SciPy."""
    ps.pp.register(devel, perturbation_key="condition", covariate_keys=["cell_type"])
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_combinations(devel)
    for name in ("no_change", "mean_effect", "additive"):
        getattr(ps.tl, f"fit_{name}")(devel)
    ps.ev.error_metrics(devel, metrics=list(ORACLES))
    table = devel.uns["error_metrics"]
    obs, x = devel.obs, dense(devel.X)
    for (name, context, label), rows in table.groupby(
        ["prediction", "cell_type", "perturbation"], observed=True
    ):
        here = (obs["cell_type"] == context).to_numpy()
        mean = x[here & (obs["condition"] == label).to_numpy()].mean(axis=0)
        control = x[here & (obs["condition"] == "control").to_numpy()].mean(axis=0)
        kept = ps.get.prediction(devel, name)
        guess = kept[(kept.obs["condition"] == label) & (kept.obs["cell_type"] == context)].X[0]
        guess = control if name == "no_change" else guess.astype(float)
        assert (obs["split"][here & (obs["condition"] == label).to_numpy()] == "test").all()
        statistics = {
            "mean": lambda v: v,
            "effect": lambda v, c=control: v - c,
            "logfc": lambda v, c=control: np.log2(np.maximum(v, 0) + 0.1) - np.log2(c + 0.1),
        }
        for row in rows.itertuples():
            p, o = (statistics[row.statistic](v) for v in (guess, mean))
            if not p.any():
                assert row.value == 0 if row.metric == "cosine" else True
                assert np.isnan(row.value) if row.metric in ("pearson", "spearman") else True
                continue
            want = ORACLES[row.metric](p, o)
            np.testing.assert_allclose(row.value, want, rtol=1e-4, atol=1e-4, err_msg=str(row))


def test_table() -> None:
    adata = with_random(screen(), second=1, first=0)
    before = fingerprint([adata.X, adata.obs, adata.var])
    ps.ev.error_metrics(adata, key_added="mine")
    assert fingerprint([adata.X, adata.obs, adata.var]) == before
    table = adata.uns["mine"]
    assert "error_metrics" not in adata.uns
    columns = ["prediction", "cell_type", "perturbation", "statistic", "metric", "value"]
    assert table.columns.tolist() == columns
    assert table["value"].dtype == np.float64
    assert all(isinstance(table[c].dtype, pd.CategoricalDtype) for c in columns[:-1])
    assert table["prediction"].cat.categories.tolist() == ["second", "first"]
    assert len(table) == 2 * 12 * 3 * 4
    assert not table.duplicated(columns[:-1]).any()
    ps.ev.error_metrics(adata, "first", statistics=["effect"], metrics=["mae"], key_added="mine")
    assert len(adata.uns["mine"]) == 12
    assert ps.get.scores(adata).index.tolist() == ["first"]


def test_zero_and_constant_vectors_are_counted() -> None:
    """Cosine 0 for no effect; no correlation of a constant, which get.scores counts."""
    adata = screen()
    means = random_means(adata)
    control = observed_means(adata).loc[("x", "control")]
    means.loc[("x", "A")] = control  # no effect
    means.loc[("x", "B")] = control + 0.5  # a constant effect
    ps.pp.add_prediction(adata, as_prediction(adata, means), "random")
    ps.ev.error_metrics(
        adata, statistics=["effect"], metrics=["cosine", "pearson", "spearman", "r2"]
    )
    cosine, pearson = (values(adata, "error_metrics", m, "effect") for m in ("cosine", "pearson"))
    assert cosine.loc[("x", "A")] == 0
    assert np.isnan(pearson.loc[("x", "A")])
    assert np.isnan(pearson.loc[("x", "B")]) or abs(pearson.loc[("x", "B")]) <= 1
    assert pearson.drop([("x", "A"), ("x", "B")]).notna().all()
    counted = ps.get.scores(adata)["n_conditions"].loc["random"]
    assert counted["cosine_effect"] == counted["r2_effect"] == 12
    assert counted["pearson_effect"] == pearson.notna().sum() < 12


@pytest.mark.filterwarnings("ignore:a row of the prediction has 0.178 times:UserWarning")
def test_logfc_of_negative_predictions() -> None:
    adata = screen()
    means = random_means(adata)
    means.iloc[:, 0] = -0.05
    means.iloc[:, 1] = -3.0
    ps.pp.add_prediction(adata, as_prediction(adata, means), "random")
    observed = statistic_of(adata, observed_means(adata).loc[means.index], "logfc")
    with np.errstate(invalid="ignore"):
        raw = statistic_of(adata, means, "logfc").fillna(0)
    clipped = statistic_of(adata, means.clip(lower=0), "logfc")
    for compat, predicted in ((None, clipped), ("perturbench", raw)):
        ps.ev.error_metrics(adata, statistics=["logfc"], metrics=["mae"], compat=compat)
        want = (predicted - observed).abs().mean(axis=1)
        np.testing.assert_allclose(values(adata, "error_metrics", "mae", "logfc"), want, rtol=1e-6)


def test_perturbench_r2_takes_the_prediction_as_truth() -> None:
    adata = with_random(screen())
    predicted = random_means(adata)
    observed = observed_means(adata).loc[predicted.index]
    ps.ev.error_metrics(adata, statistics=["mean"], metrics=["r2"], compat="perturbench")
    want = [sk.r2_score(predicted.loc[i], observed.loc[i]) for i in predicted.index]
    np.testing.assert_allclose(values(adata, "error_metrics", "r2", "mean"), want, rtol=1e-5)


def test_image_profiles() -> None:
    """Negative screens have effects, but no logfc."""
    adata = screen()
    adata.X = dense(adata.X).astype(np.float32) - 1
    means = observed_means(adata).drop("control", level=1) + 0.1
    ps.pp.add_prediction(adata, as_prediction(adata, means), "random")
    for judge in (ps.ev.error_metrics, ps.ev.rank_metrics):
        with refused(adata, ValueError, "logfc is undefined: .* negative means .*'effect'"):
            judge(adata)
    ps.ev.error_metrics(adata, statistics=["mean", "effect"])
    np.testing.assert_allclose(values(adata, "error_metrics", "mae", "effect"), 0.1, rtol=1e-5)
    ps.ev.rank_metrics(adata, distances=[("rmse", "mean"), ("cosine", "effect")])
    assert (values(adata, "rank_metrics", "rmse_rank", "mean") < 1).all()


@pytest.mark.parametrize("metric", ORACLES)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_perfect_predictions(metric, statistic) -> None:
    adata = screen()
    means = observed_means(adata).drop("control", level=1)
    ps.pp.add_prediction(adata, as_prediction(adata, means), "random")
    ps.ev.error_metrics(adata, statistics=[statistic], metrics=[metric])
    best = 1 if METRICS[metric].higher_is_better else 0
    np.testing.assert_allclose(values(adata, "error_metrics", metric, statistic), best, atol=1e-6)
