"""The paired bootstrap against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from tests._core.test_bootstrap import expanded
from tests.ev.judged import screen, values, with_random
from tests.helpers import refused

import pertscope as ps


def test_difference_of_pairs() -> None:
    adata = with_random(screen(), first=0, second=1)
    ps.ev.error_metrics(adata, metrics=["rmse"], statistics=["mean"])
    ps.ev.rank_metrics(adata)
    table = ps.get.comparison(adata, "first", "second")
    assert table.index[0] == "rmse_mean"
    assert len(table) == 5
    a, b = (values(adata, "error_metrics", "rmse", "mean", n) for n in ("first", "second"))
    gap = (a - b).to_numpy()
    row = table.loc["rmse_mean"]
    assert row["difference"] == pytest.approx(gap.mean())
    assert row["share_larger"] == np.mean(gap > 0)
    assert row["share_smaller"] == np.mean(gap < 0)
    assert row["n_conditions"] == len(gap)
    rng = np.random.default_rng(5)
    means = gap[rng.integers(0, len(gap), (20_000, len(gap)))].mean(axis=1)
    tail = 50 * (1 - expanded(0.95, len(gap)))
    low, high = np.percentile(means, [tail, 100 - tail])
    spread = gap.std() / len(gap) ** 0.5
    assert row["ci_low"] == pytest.approx(low, abs=0.2 * spread)
    assert row["ci_high"] == pytest.approx(high, abs=0.2 * spread)
    reverse = ps.get.comparison(adata, "second", "first", metrics=["rmse_mean"])
    assert reverse.loc["rmse_mean", "difference"] == pytest.approx(-gap.mean())


@pytest.mark.filterwarnings("ignore:predictions are judged over different conditions")
def test_only_conditions_that_both_have() -> None:
    adata = with_random(screen(), first=0, second=1)
    kept = adata.uns["pertscope"]["predictions"]["second"]
    adata.uns["pertscope"]["predictions"]["second"] = kept[2:].copy()
    with pytest.warns(UserWarning, match="lacks 2 of 12 conditions"):
        ps.ev.error_metrics(adata, metrics=["rmse"], statistics=["mean"])
    assert ps.get.comparison(adata, "first", "second")["n_conditions"].tolist() == [10]


def test_only_metrics_that_both_have() -> None:
    adata = with_random(screen(), first=0, second=1)
    ps.ev.error_metrics(adata, metrics=["rmse"], statistics=["mean"])
    one = {"predictions": ["first"], "metrics": ["mae"], "statistics": ["mean"]}
    ps.ev.error_metrics(adata, **one, key_added="one")
    assert ps.get.comparison(adata, "first", "second").index.tolist() == ["rmse_mean"]
    with refused(adata, KeyError, "no scores of 'mae_mean' for both; .*'rmse_mean'"):
        ps.get.comparison(adata, "first", "second", metrics=["mae_mean"])
    del adata.uns["error_metrics"]
    adata.uns["pertscope"]["scores"] = ["one"]
    ps.ev.error_metrics(
        adata, predictions=["second"], metrics=["rmse"], statistics=["mean"], key_added="other"
    )
    with refused(adata, KeyError, "'first' and 'second' were judged by no common metric"):
        ps.get.comparison(adata, "first", "second")


def test_bad_input() -> None:
    adata = with_random(screen(), first=0, second=1)
    with refused(adata, KeyError, "nothing was judged yet"):
        ps.get.comparison(adata, "first", "second")
    ps.ev.error_metrics(adata, metrics=["rmse"], statistics=["mean"])
    with refused(adata, KeyError, "prediction 'frist' was not judged; nearest: 'first'"):
        ps.get.comparison(adata, "frist", "second")
    with refused(adata, KeyError, "no scores of 'rsme_mean' for both; nearest: 'rmse_mean'"):
        ps.get.comparison(adata, "first", "second", metrics=["rsme_mean"])
    for confidence in (0, 1, 95):
        with refused(adata, ValueError, f"`confidence`={confidence} must lie between 0 and 1"):
            ps.get.comparison(adata, "first", "second", confidence=confidence)
