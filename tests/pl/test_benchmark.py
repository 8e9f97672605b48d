"""Figures of benchmarks show what the tables say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from tests.pl.pictures import outside, overlapping, written

import pertscope as ps

METRICS = ["rmse_mean", "cosine_rank_effect", "cosine_effect"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def results(tasks=("small", "big"), scenario="scaling", n_models=6) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = [f"a rather long model {i}" for i in range(n_models)]
    rows = [
        (task, 10.0 ** (i + 2), m, m if m in ("floor", "ceiling") else "model", s, metric)
        for i, task in enumerate(tasks)
        for m in [*names, "floor", "ceiling"]
        for s in range(3)
        for metric in METRICS
    ]
    columns = ["task", "train_cells", "model", "kind", "seed", "metric"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(
        scenario=scenario, dataset="d", error="", value=rng.uniform(size=len(table))
    )


def test_one_task() -> None:
    scores = results(["small"])
    table = ps.bench.table(scores)
    axes = ps.pl.benchmark(scores)
    assert len(axes) == len(METRICS)
    shown = [t.get_text() for t in axes[0].get_yticklabels()]
    assert shown == table.index[:-2].tolist()[::-1]
    for ax, metric in zip(axes, METRICS, strict=True):
        (bar,) = ax.containers
        drawn = bar.lines[0].get_xdata().astype(float)  # matplotlib keeps objects
        np.testing.assert_allclose(drawn, table.loc[shown, (metric, "mean")])
        low, high = np.array(bar.lines[2][0].get_segments(), dtype=float)[:, :, 0].T
        np.testing.assert_allclose((high - low) / 2, table.loc[shown, (metric, "sd")])
        lines = {line.get_label(): line for line in ax.lines}
        for bound in ("floor", "ceiling"):
            assert lines[bound].get_xdata()[0] == table.loc[bound, (metric, "mean")]
        assert len(lines["seed"].get_xdata()) == 18
        assert ("random" in lines) == ("rank" in metric)


def test_scenario_is_a_curve() -> None:
    scores = results()
    table = ps.bench.table(scores)
    for ax, metric in zip(ps.pl.benchmark(scores), METRICS, strict=True):
        lines = {line.get_label(): line for line in ax.lines}
        for name in scores["model"].unique():
            np.testing.assert_allclose(lines[name].get_xdata(), [100, 1000])
            mean = table.xs(name, level="model")[metric, "mean"]
            np.testing.assert_allclose(lines[name].get_ydata(), mean)


def test_failed_models_are_named() -> None:
    scores = results(["small"], n_models=2)
    lost = scores["model"] == "a rather long model 0"
    scores.loc[lost, ["value", "error"]] = [np.nan, "ValueError: nan"]
    ax = ps.pl.benchmark(scores)[0]
    assert [t.get_text() for t in ax.texts] == ["failed"]
    scores["error"] = "ValueError: nan"
    with pytest.raises(ValueError, match="no model has a score: ValueError: nan"):
        ps.pl.benchmark(scores)


def test_which_task() -> None:
    scores = pd.concat([results(), results(["other"], scenario="")])
    with pytest.raises(ValueError, match="several tasks: draw one, `task='d-scaling'`"):
        ps.pl.benchmark(scores)
    assert ps.pl.benchmark(scores, task="d-scaling")[0].get_xlabel() == "perturbed cells in train"
    assert ps.pl.benchmark(scores, task="other")[0].get_xlabel() == "lower is better"
    with pytest.raises(KeyError, match="no results of task 'othr'; nearest: 'other'"):
        ps.pl.benchmark(scores, task="othr")


@pytest.mark.parametrize("tasks", [["small"], ["small", "middle", "big"]])
def test_texts_lie_apart(tasks, monkeypatch) -> None:
    figure = ps.pl.benchmark(results(tasks))[0].figure
    boxes = written(figure, monkeypatch)
    assert overlapping(boxes) == []
    assert outside(figure, boxes) == []
