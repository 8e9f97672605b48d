"""Tables say what pandas says, and texts what tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pertscope as ps

METRICS = ["rmse_mean", "cosine_effect"]


@pytest.fixture
def scores() -> pd.DataFrame:
    """Two tasks of one scenario, three models, bounds, three seeds; one fit failed."""
    rng = np.random.default_rng(0)
    rows = [
        (task, size, model, "model" if len(model) < 3 else model, seed, metric, rng.uniform(), "")
        for task, size in (("big", 100.0), ("small", 10.0))
        for model in ("m1", "m2", "m3", "floor", "ceiling")
        for seed in range(3)
        for metric in METRICS
    ]
    columns = ["task", "train_cells", "model", "kind", "seed", "metric", "value", "error"]
    table = pd.DataFrame(rows, columns=columns).assign(scenario="scaling", dataset="d")
    lost = (table["model"] == "m3") & (table["seed"] == 2)
    table = table.drop(index=table.index[lost & (table["metric"] == METRICS[1])])
    table.loc[lost, ["metric", "value", "error"]] = ["", np.nan, "ValueError: nan"]
    return table


def test_mean_and_sd_are_those_of_pandas(scores) -> None:
    table = ps.bench.table(scores)
    for (task, model, metric), values in scores.groupby(["task", "model", "metric"])["value"]:
        if metric:
            row = table.loc[(task, model)]
            assert row[metric, "mean"] == pytest.approx(np.mean(values), rel=1e-12)
            assert row[metric, "sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert table.loc[("big", "m3"), ("seeds", "failed")] == 1
    assert table.loc[("big", "m3"), ("seeds", "done")] == 2
    assert table.loc[("big", "m1"), ("seeds", "done")] == 3


def test_order_of_rows(scores) -> None:
    table = ps.bench.table(scores)
    assert table.index.get_level_values("task").unique().tolist() == ["small", "big"]
    for task in ("small", "big"):
        models = table.loc[task].index.tolist()
        assert models[-2:] == ["floor", "ceiling"]
        assert table.loc[task]["rmse_mean", "mean"][models[:-2]].is_monotonic_increasing
    first = ps.bench.table(scores, metrics=["cosine_effect"]).loc["big"].index[:3]
    ranked = ps.bench.table(scores).loc["big"]["cosine_effect", "mean"][first]
    assert ranked.is_monotonic_decreasing
    chosen = ps.bench.table(scores[scores["task"] == "big"], models=["m3", "m1"])
    assert chosen.index.tolist() == ["m3", "m1", "floor", "ceiling"]


def test_text(scores) -> None:
    one = scores[scores["task"] == "big"]
    table = ps.bench.table(one)
    lines = ps.bench.to_text(one).splitlines()
    assert lines[0] == "| model | rmse_mean ↓ | cosine_effect ↑ |"
    assert len(lines) == 2 + 5
    for metric, column, best in zip(METRICS, (2, 3), ("idxmin", "idxmax"), strict=True):
        bold = [row.split("|")[1].strip() for row in lines[2:] if "**" in row.split("|")[column]]
        assert bold == [getattr(table.loc[["m1", "m2"]][metric, "mean"], best)()]
    mean, sd = table.loc["m1", "rmse_mean"]
    (row,) = [row for row in lines if row.startswith("| m1 ")]
    assert f"{mean:.2f} ± {sd:.2f}" in row
    latex = ps.bench.to_text(one, form="latex")
    assert r"rmse\_mean $\downarrow$ & cosine\_effect $\uparrow$ \\" in latex
    assert latex.count(r"\mathbf") == 2
    with pytest.raises(ValueError, match="`form`='html' must be one of"):
        ps.bench.to_text(one, form="html")


@pytest.mark.parametrize(
    ("sd", "text"), [(0.0123, "0.51 ± 0.01"), (0.0032, "0.512 ± 0.003"), (3.2, "0.51 ± 3.20")]
)
def test_digits(sd, text) -> None:
    values = 0.5123 + sd * np.array([-1.0, 0.0, 1.0])
    rows = [("m", "model", s, "rmse_mean", v, "") for s, v in enumerate(values)]
    columns = ["model", "kind", "seed", "metric", "value", "error"]
    table = pd.DataFrame(rows, columns=columns).assign(task="t", scenario="", train_cells=1)
    assert f"**{text}**" in ps.bench.to_text(table)
    assert "| **0.512** |" in ps.bench.to_text(table[table["seed"] == 1])


def test_failed_seeds_are_told_and_win_nothing() -> None:
    rows = [(m, "model", s, "rmse_mean", 0.4, "") for m in ("b", "floor") for s in range(3)]
    rows += [("a", "model", 0, "rmse_mean", 0.1, "")]
    rows += [("a", "model", s, "", np.nan, "ValueError: nan") for s in (1, 2)]
    columns = ["model", "kind", "seed", "metric", "value", "error"]
    table = pd.DataFrame(rows, columns=columns).assign(task="t", scenario="", train_cells=1)
    lines = ps.bench.to_text(table).splitlines()[2:]
    assert lines[0] == "| a (1 of 3) | 0.100 |"
    assert lines[1] == "| b | **0.400 ± 0.000** |"
    latex = ps.bench.to_text(pd.concat([table, table.assign(task="u")]), form="latex")
    assert r"t & a (1 of 3) & $0.100$ \\" in latex
    assert "**" not in ps.bench.to_text(table[table["model"] == "a"])


def test_unknown_names(scores) -> None:
    with pytest.raises(KeyError, match="no results of metric 'rmse_maen'; nearest: 'rmse_mean'"):
        ps.bench.table(scores, metrics=["rmse_maen"])
    with pytest.raises(KeyError, match="no results of model 'floor'"):
        ps.bench.table(scores, models=["floor"])
