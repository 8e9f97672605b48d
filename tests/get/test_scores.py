from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.helpers import make_screen, refused

import pertscope as ps
from pertscope._core.bootstrap import bootstrap_interval
from pertscope._core.score_tables import write_scores

VALUES = {
    ("zeta", "rmse", "mean"): [1.0, 2.0, 4.0],
    ("alpha", "rmse", "mean"): [0.5, np.nan, 0.7],
    ("zeta", "cosine", "effect"): [np.nan, np.nan, np.nan],
}


@pytest.fixture
def adata():
    found = make_screen()
    for i, ((prediction, metric, statistic), values) in enumerate(VALUES.items()):
        table = pd.DataFrame(
            {"prediction": prediction, "perturbation": list("ABC"), "value": values}
        )
        write_scores(found, f"table{i}", table.assign(metric=metric, statistic=statistic))
    return found


def test_one_row_per_prediction(adata) -> None:
    got = ps.get.scores(adata, confidence=0.8, seed=3)
    assert got.index.tolist() == ["zeta", "alpha"]
    assert got.index.name == "prediction"
    quantities = ["mean", "ci_low", "ci_high", "n_conditions"]
    assert got.columns.tolist() == [
        (q, m) for q in quantities for m in ("rmse_mean", "cosine_effect")
    ]
    for (prediction, metric, statistic), values in VALUES.items():
        want = bootstrap_interval(np.array(values), confidence=0.8, seed=3)
        row = [got.loc[prediction, (q, f"{metric}_{statistic}")] for q in quantities]
        np.testing.assert_equal(row, want)
    assert got.loc["alpha", ("n_conditions", "cosine_effect")] == 0
    assert np.isnan(got.loc["alpha", ("mean", "cosine_effect")])
    assert set(map(str, got["n_conditions"].dtypes)) == {"int64"}
    assert set(map(str, got["mean"].dtypes)) == {"float64"}


def test_chosen_metrics(adata) -> None:
    got = ps.get.scores(adata, metrics=["rmse_mean"])
    assert got["mean"].columns.tolist() == ["rmse_mean"]
    assert ps.get.scores(adata, metrics=["cosine_effect"]).index.tolist() == ["zeta"]
    both = ["cosine_effect", "rmse_mean"]
    assert ps.get.scores(adata, metrics=both)["mean"].columns.tolist() == both


@pytest.mark.parametrize(
    ("keys", "error", "match"),
    [
        ({"metrics": ["rmse"]}, KeyError, "no scores of 'rmse'; nearest: 'rmse_mean'"),
        ({"confidence": 1}, ValueError, "`confidence`=1 must lie between 0 and 1"),
        ({"confidence": 0}, ValueError, "`confidence`=0 must lie between 0 and 1"),
    ],
)
def test_refusals(adata, keys, error, match) -> None:
    with refused(adata, error, match):
        ps.get.scores(adata, **keys)


def test_nothing_judged() -> None:
    adata = make_screen()
    with refused(adata, KeyError, "nothing was judged yet"):
        ps.get.scores(adata)
