"""Plots show what the tables hold, and refuse what they cannot show."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tests.pl.pictures import NAMES, predicted_screen

import pertscope as ps
from pertscope.ev._metrics import higher_is_better
from pertscope.pl._labels import apart, shortened


@pytest.fixture(scope="module")
def judged():
    adata = ps.datasets.simulate_screen(n_perturbations=20, n_genes=40, seed=0)
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    ps.pp.split_transfer(adata, seed=0)
    ps.tl.fit_no_change(adata)
    ps.tl.fit_additive(adata)
    ps.ev.error_metrics(adata)
    ps.ev.rank_metrics(adata)
    return adata


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_scores_shows_the_table_best_on_top(judged) -> None:
    metrics = ["rmse_mean", "rmse_rank_mean"]
    table = ps.get.scores(judged, metrics=metrics)["mean"].sort_values("rmse_mean")
    axes = ps.pl.scores(judged, metrics=metrics)
    assert [t.get_text() for t in axes[0].get_yticklabels()][::-1] == table.index.tolist()
    for ax, metric in zip(axes, metrics, strict=True):
        points = next(line for line in ax.lines if line.get_marker() == "o")
        np.testing.assert_allclose(points.get_xdata()[::-1], table[metric])


def test_scores_refuses(judged) -> None:
    with pytest.raises(ValueError, match="1 Axes for 2 metrics"):
        ps.pl.scores(judged, metrics=["rmse_mean", "mae_mean"], axes=[plt.gca()])
    with pytest.raises(KeyError, match="nearest: 'rmse_mean'"):
        ps.pl.scores(judged, metrics=["rmse_maen"])


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("rmse_mean", False),
        ("cosine_logfc", True),
        ("cosine_rank_logfc", False),
        ("pearson_delta_compat", True),
    ],
)
def test_direction(metric, higher) -> None:
    assert higher_is_better(metric) is higher


def test_scores_marks_floor_and_ceiling() -> None:
    adata = predicted_screen(6, 2)
    ps.ev.evaluate(adata, metrics=["rmse_mean", "cosine_to_mean_effect"], floor=False)
    table = adata.uns["evaluation"]
    table["floor"] = np.where(table["metric"] == "rmse", 2 * table["value"], np.nan)
    scores = ps.get.scores(adata)
    rmse, diagnosis = ps.pl.scores(adata)
    rows = [t.get_text() for t in rmse.get_yticklabels()]
    for bound in ("floor", "ceiling"):
        line = next(line for line in rmse.lines if line.get_label() == bound)
        x, y = line.get_xdata().reshape(-1, 2), line.get_ydata().reshape(-1, 2)
        np.testing.assert_allclose(x[:, 0], scores[bound]["rmse_mean"][rows])
        np.testing.assert_array_equal(x[:, 0], x[:, 1])
        np.testing.assert_allclose(y.mean(axis=1), range(len(rows)))
    assert rmse.get_xlabel() == "lower is better"
    assert diagnosis.get_xlabel() == ""
    assert "floor" not in [line.get_label() for line in diagnosis.lines]
    legends = [ax.get_legend() for ax in (rmse, diagnosis) if ax.get_legend()]
    assert len(legends) == 1
    said = {t.get_text() for t in legends[0].get_texts()}
    assert said == {"floor", "ceiling", "mean and interval"}


def test_scores_by_a_diagnosis_keep_the_order_of_the_table() -> None:
    adata = predicted_screen(6, 3)
    ps.ev.collapse_metrics(adata, metrics=["cosine_to_mean"])
    (ax,) = ps.pl.scores(adata)
    assert [t.get_text() for t in ax.get_yticklabels()][::-1] == list(NAMES[:3])


def test_scores_chooses_at_most_eight_in_rows(judged) -> None:
    adata = judged.copy()
    ps.ev.deg_metrics(adata)
    axes = ps.pl.scores(adata)
    titles = [ax.get_title().replace("\n", "_") for ax in axes]
    assert len(titles) == 8
    assert {"rmse_mean", "rmse_rank_mean", "overlap_at_N_t-test"} <= set(titles)
    assert {ax.get_subplotspec().rowspan.start for ax in axes} == {0, 1}
    assert len(axes[0].figure.axes) == 8


def test_scores_draws_into_given_axes(judged) -> None:
    _, axes = plt.subplots(1, 2)
    drawn = ps.pl.scores(judged, metrics=["rmse_mean", "mae_mean"], axes=list(axes))
    assert drawn == list(axes)
    with pytest.raises(ValueError, match="`metrics` is empty"):
        ps.pl.scores(judged, metrics=[])


def test_effects_shows_observed_against_predicted(judged) -> None:
    prediction = ps.get.prediction(judged, "additive")
    row = prediction.obs.iloc[0]
    place = {"cell_type": row["cell_type"]}
    ax = ps.pl.effects(judged, "additive", row["perturbation"], covariates=place, n_genes=5)
    observed = ps.get.effects(judged).loc[(row["cell_type"], row["perturbation"])]
    cloud = max(ax.lines, key=lambda line: len(line.get_xdata()))
    np.testing.assert_allclose(cloud.get_xdata(), observed)
    strongest = observed.abs().nlargest(5).index
    assert {t.get_text() for t in ax.texts} == set(strongest)


def test_effects_refuses(judged) -> None:
    label = ps.get.prediction(judged, "additive").obs["perturbation"].iloc[0]
    with pytest.raises(ValueError, match="has no 'nothing'"):
        ps.pl.effects(judged, "additive", "nothing")
    with pytest.raises(KeyError, match="'celltype' is no covariate; nearest: 'cell_type'"):
        ps.pl.effects(judged, "additive", label, covariates={"celltype": "A"})
    with pytest.raises(ValueError, match="0 conditions match"):
        ps.pl.effects(judged, "additive", label, covariates={"cell_type": "none"})


def test_labels_are_moved_apart_and_keep_their_order() -> None:
    heights = apart(np.array([0.0, 0.01, 0.02, 5.0]), 1.0)
    assert (np.diff(heights) >= 1 - 1e-12).all()
    assert heights[:3].mean() == pytest.approx(0.01)
    assert heights[3] == 5


def test_long_names_are_shortened() -> None:
    assert shortened("short") == "short"
    short = shortened("a" * 20 + "b" * 20)
    assert len(short) < 30
    assert short[0] == "a"
    assert short[-1] == "b"
