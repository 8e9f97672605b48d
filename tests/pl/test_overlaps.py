"""Few or many conditions and predictions: no text lies over another, or leaves the figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tests.pl.pictures import NAMES, outside, overlapping, predicted_screen, written

import pertscope as ps

CASES = [(10, 1), (10, 12), (300, 3)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}x{case[1]}")
def judged(request):
    n_conditions, n_predictions = request.param
    contexts = ("k562", "a549") if n_conditions == 10 else ("k562",)
    adata = predicted_screen(n_conditions, n_predictions, contexts=contexts)
    ps.ev.error_metrics(adata)
    ps.ev.rank_metrics(adata)
    bounds = ["rmse_mean", "pearson_effect", "cosine_to_mean_effect", "rmse_rank_mean"]
    ps.ev.evaluate(adata, metrics=bounds, ceiling=True, floor=False, key_added="bounds")
    ps.ev.ceiling(adata, metrics=["rmse_effect", "pearson_effect"], n_outer=3)
    table = adata.uns["bounds"]
    table["floor"] = np.where(table["metric"] == "cosine_to_mean", np.nan, table["value"] * 1.2)
    return adata


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def _figure(drawn):
    return (drawn[0] if isinstance(drawn, list) else drawn).figure


PLOTS = {
    "scores": ps.pl.scores,
    "two scores": lambda a: ps.pl.scores(a, metrics=["rmse_mean", "cosine_to_mean_effect"]),
    "ranks": ps.pl.rank_distribution,
    "similarity": ps.pl.similarity,
    "genes": ps.pl.deg_overlap,
    "ceiling": ps.pl.ceiling,
    "comparison": lambda a: ps.pl.comparison(a, NAMES[0], a.uns["bounds"]["prediction"].iloc[-1]),
    "effects": lambda a: ps.pl.effects(a, "linear", "GENE3", covariates={"cell_type": "k562"}),
}


@pytest.mark.parametrize("plot", PLOTS)
def test_no_text_lies_over_another(judged, plot, monkeypatch) -> None:
    figure = _figure(PLOTS[plot](judged))
    boxes = written(figure, monkeypatch)
    assert len(boxes) > 3
    assert overlapping(boxes) == []
    assert outside(figure, boxes) == []


def test_the_check_finds_overlaps(monkeypatch) -> None:
    figure, ax = plt.subplots()
    ax.set_axis_off()
    ax.text(0.5, 0.5, "one")
    ax.text(0.51, 0.5, "two")
    ax.text(2.0, 0.5, "lost")
    boxes = written(figure, monkeypatch)
    assert overlapping(boxes) == [("two", "one")]
    assert outside(figure, boxes) == ["lost"]
