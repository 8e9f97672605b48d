"""From score tables to ``ps.get.scores``: intervals, round trips, screens on disk."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests._core.test_bootstrap import expanded
from tests.ev.judged import random_means, screen, values, with_random
from tests.ev.worlds import perturbed, world
from tests.helpers import dense, fingerprint, refused

import pertscope as ps

QUANTITIES = ["mean", "ci_low", "ci_high", "n_conditions"]


@pytest.fixture
def adata():
    adata = with_random(screen(), first=0, second=1)
    ps.ev.error_metrics(adata, statistics=["mean", "effect"], metrics=["rmse", "pearson"])
    ps.ev.rank_metrics(adata, "second")
    return adata


def test_table(adata) -> None:
    before = fingerprint(adata)
    scores = ps.get.scores(adata)
    assert fingerprint(adata) == before
    assert scores.index.tolist() == ["first", "second"]
    errors = ["rmse_mean", "pearson_mean", "rmse_effect", "pearson_effect"]
    ranks = [
        f"{m}_{s}"
        for m, s in zip(
            ("rmse_rank", "rmse_transposed_rank", "cosine_rank", "cosine_transposed_rank"),
            ("mean", "mean", "logfc", "logfc"),
            strict=True,
        )
    ]
    assert scores.columns.tolist() == [(q, m) for q in QUANTITIES for m in errors + ranks]
    for metric, statistic in (("rmse", "mean"), ("pearson", "effect")):
        want = values(adata, "error_metrics", metric, statistic, "first").mean()
        assert scores["mean"].loc["first", f"{metric}_{statistic}"] == pytest.approx(
            want, rel=1e-12
        )
    assert scores["n_conditions"].dtypes.eq("int64").all()
    assert (scores["n_conditions"].loc["first", ranks] == 0).all()  # was not ranked
    assert scores["mean"].loc["first", ranks].isna().all()
    low, mean, high = (scores[q].loc["second"] for q in ("ci_low", "mean", "ci_high"))
    assert (low <= mean).all()
    assert (mean <= high).all()


def test_choice_of_metrics(adata) -> None:
    everything = ps.get.scores(adata)
    some = ps.get.scores(adata, metrics=["rmse_rank_mean", "pearson_effect"])
    assert some.columns.tolist() == [
        (q, m) for q in QUANTITIES for m in ("rmse_rank_mean", "pearson_effect")
    ]
    pd.testing.assert_frame_equal(some, everything[some.columns])
    with refused(adata, KeyError, "no scores of 'rmse_rank'; nearest: 'rmse_rank_mean'"):
        ps.get.scores(adata, metrics=["rmse_rank"])
    with refused(adata, ValueError, "`confidence`=95 must lie between 0 and 1"):
        ps.get.scores(adata, confidence=95)
    with refused(screen(), KeyError, "nothing was judged yet"):
        ps.get.scores(screen())


def test_interval(adata) -> None:
    """Near SciPy's, of the expanded level; wider with more confidence; the seed decides."""
    table = ps.get.scores(adata)
    for metric, statistic in (("rmse", "mean"), ("pearson", "effect")):
        value = values(adata, "error_metrics", metric, statistic, "second").to_numpy()
        for confidence in (0.5, 0.95):
            scores = ps.get.scores(adata, confidence=confidence)
            got = [scores[q].loc["second", f"{metric}_{statistic}"] for q in ("ci_low", "ci_high")]
            want = stats.bootstrap(
                (value,),
                np.mean,
                confidence_level=expanded(confidence, len(value)),
                n_resamples=5000,
                method="percentile",
                rng=1,
            ).confidence_interval
            np.testing.assert_allclose(got, want, atol=0.1 * (want.high - want.low))
    narrow, wide = (ps.get.scores(adata, confidence=c) for c in (0.5, 0.99))
    width = [(t["ci_high"] - t["ci_low"]).loc["second"] for t in (narrow, wide)]
    assert (width[0] <= width[1]).all()
    pd.testing.assert_frame_equal(ps.get.scores(adata), table)
    other = ps.get.scores(adata, seed=1)
    pd.testing.assert_frame_equal(other["mean"], table["mean"])
    assert not other["ci_low"].equals(table["ci_low"])


def test_undefined_values_are_left_out_and_counted(adata) -> None:
    table = adata.uns["error_metrics"]
    first = (
        (table["prediction"] == "first")
        & (table["metric"] == "rmse")
        & (table["statistic"] == "mean")
    )
    rows = table.index[first]
    table.loc[rows[:3], "value"] = np.nan
    scores = ps.get.scores(adata)
    assert scores["n_conditions"].loc["first", "rmse_mean"] == 9
    want = table.loc[rows[3:], "value"].mean()
    assert scores["mean"].loc["first", "rmse_mean"] == pytest.approx(want)
    table.loc[rows[1:], "value"] = np.nan
    table.loc[rows[0], "value"] = 0.25
    alone = ps.get.scores(adata).loc["first"].xs("rmse_mean", level=1)
    assert alone.loc[["mean", "n_conditions"]].tolist() == [0.25, 1]
    assert alone.loc[["ci_low", "ci_high"]].isna().all()
    table.loc[rows, "value"] = np.nan
    none = ps.get.scores(adata).loc["first"].xs("rmse_mean", level=1)
    assert none["n_conditions"] == 0
    assert none.drop("n_conditions").isna().all()


def test_keys(adata) -> None:
    """Tables of other names are joined; a second run replaces the first."""
    before = ps.get.scores(adata)
    ps.ev.error_metrics(adata, metrics=["mae"], statistics=["mean"], key_added="more")
    scores = ps.get.scores(adata)
    assert "mae_mean" in scores["mean"]
    pd.testing.assert_frame_equal(scores[before.columns], before)
    ps.ev.error_metrics(adata, metrics=["l2"], statistics=["mean"], key_added="more")
    assert "mae_mean" not in ps.get.scores(adata)["mean"]
    assert "l2_mean" in ps.get.scores(adata)["mean"]
    del adata.uns["more"]
    pd.testing.assert_frame_equal(ps.get.scores(adata), before)


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(adata, form, tmp_path) -> None:
    path = tmp_path / f"screen.{form}"
    getattr(adata, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    pd.testing.assert_frame_equal(ps.get.scores(again), ps.get.scores(adata))
    ps.ev.error_metrics(again, statistics=["mean", "effect"], metrics=["rmse", "pearson"])
    ps.ev.rank_metrics(again, "second")
    pd.testing.assert_frame_equal(ps.get.scores(again), ps.get.scores(adata))


@pytest.mark.parametrize("form", ["backed", "backed dense", "dask"])
def test_on_disk(adata, form, tmp_path) -> None:
    if form == "dask":
        da = pytest.importorskip("dask.array")
        other = adata.copy()
        other.X = da.from_array(adata.X, chunks=(7, adata.n_vars), asarray=False)
    else:
        other = adata.copy()
        if form == "backed dense":
            other.X = dense(adata.X).astype(np.float32)
        other.write_h5ad(tmp_path / "screen.h5ad")
        other = ad.read_h5ad(tmp_path / "screen.h5ad", backed="r")
    del other.uns["error_metrics"], other.uns["rank_metrics"]
    ps.ev.error_metrics(other, statistics=["mean", "effect"], metrics=["rmse", "pearson"])
    ps.ev.rank_metrics(other, "second")
    pd.testing.assert_frame_equal(ps.get.scores(other), ps.get.scores(adata), rtol=1e-6, atol=1e-9)
    assert len(random_means(adata)) == 12


def test_parts_are_not_mixed() -> None:
    """Of a metric in two tables, all scores are those of the later one."""
    adata = with_random(screen(), only=0)
    labels = adata.obs["perturbation"].astype(str)
    adata.obs["split"] = np.where(labels.isin(["A", "B"]), "val", "test")
    of_part = {}
    for part in ("val", "test"):
        ps.ev.error_metrics(adata, split=part, key_added=part, metrics=["rmse"])
        of_part[part] = adata.uns[part].query("statistic == 'mean'")["value"]
    scores = ps.get.scores(adata)
    assert scores.loc["only", ("n_conditions", "rmse_mean")] == len(of_part["test"])
    assert scores.loc["only", ("mean", "rmse_mean")] == pytest.approx(of_part["test"].mean())
    ps.ev.error_metrics(adata, split="val", key_added="val", metrics=["rmse"], statistics=["mean"])
    scores = ps.get.scores(adata)
    assert scores.loc["only", ("mean", "rmse_mean")] == pytest.approx(of_part["val"].mean())
    assert scores.loc["only", ("n_conditions", "rmse_effect")] == len(of_part["test"])


def test_normalised_is_over_the_same_conditions() -> None:
    """Those of one cell have no halves, so no ceiling: their scores do not enter."""
    adata = world()
    ps.pp.add_prediction(adata, perturbed(adata), "only")
    ps.ev.evaluate(adata, metrics=["rmse_mean"])
    table = adata.uns["evaluation"]
    table.loc[table.index[:3], "value"] += 100
    table.loc[table.index[:3], "ceiling"] = np.nan
    known = table.iloc[3:]
    value, floor, ceiling = (known[c].mean() for c in ("value", "floor", "ceiling"))
    found = ps.get.scores(adata).loc["only"]
    assert found["mean", "rmse_mean"] > 10
    assert found["normalised", "rmse_mean"] == pytest.approx((value - floor) / (ceiling - floor))
