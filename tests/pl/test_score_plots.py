"""Plots of score tables show what the tables say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tests.pl.pictures import NAMES, predicted_screen

import pertscope as ps


@pytest.fixture(scope="module")
def judged():
    adata = predicted_screen(12, 3, contexts=("k562", "a549"))
    ps.ev.error_metrics(adata)
    ps.ev.rank_metrics(adata)
    ps.ev.collapse_metrics(adata, metrics=["cosine_to_mean"])
    return adata


@pytest.fixture(scope="module")
def with_ceiling():
    adata = predicted_screen(35, 1)
    ps.ev.ceiling(adata, metrics=["rmse_effect", "pearson_effect"], n_outer=4)
    ps.ev.ceiling(adata, metrics=["cosine_to_mean_effect"], n_outer=2, key_added="diagnosis")
    return adata


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def _labelled(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def _rows(adata, key, metric, statistic):
    table = adata.uns[key]
    return table[(table["metric"] == metric) & (table["statistic"] == statistic)]


# -- rank_distribution ---------------------------------------------------------------------------


def test_ranks_are_those_of_the_table_best_on_top(judged) -> None:
    ax = ps.pl.rank_distribution(judged)
    groups = _rows(judged, "rank_metrics", "rmse_rank", "mean").groupby(
        "prediction", observed=True
    )["value"]
    shown = [t.get_text() for t in ax.get_yticklabels()]
    assert groups.mean()[shown].is_monotonic_decreasing
    np.testing.assert_allclose(_labelled(ax, "mean").get_xdata(), groups.mean()[shown])
    np.testing.assert_allclose(_labelled(ax, "median").get_xdata(), groups.median()[shown])
    points = ax.collections[0].get_offsets()
    for y, name in enumerate(shown):
        here = np.sort(points[np.round(points[:, 1]) == y, 0])
        np.testing.assert_allclose(here, np.sort(groups.get_group(name)))
    bars = ax.collections[1].get_segments()
    np.testing.assert_allclose([b[0, 0] for b in bars], groups.quantile(0.25)[shown])
    np.testing.assert_allclose([b[1, 0] for b in bars], groups.quantile(0.75)[shown])
    assert set(_labelled(ax, "random: median").get_xdata()) == {0.5}


def test_ranks_where_higher_is_better() -> None:
    adata = predicted_screen(12, 3)
    ps.ev.evaluate(adata, metrics=["rmse_discrimination_mean"], floor=False, ceiling=False)
    ax = ps.pl.rank_distribution(adata, metric="rmse_discrimination_mean")
    assert (np.diff(_labelled(ax, "mean").get_xdata()) >= 0).all()
    assert "higher is better" in ax.get_xlabel()


def test_ranks_of_one_prediction_into_given_axes(judged) -> None:
    _, mine = plt.subplots()
    ax = ps.pl.rank_distribution(judged, NAMES[1], metric="cosine_rank_logfc", ax=mine)
    assert ax is mine
    assert [t.get_text() for t in ax.get_yticklabels()] == [NAMES[1]]


def test_ranks_refuse(judged) -> None:
    with pytest.raises(KeyError, match=r"nothing was judged yet: call .*ps\.ev\.rank_metrics"):
        ps.pl.rank_distribution(predicted_screen(3, 1))
    with pytest.raises(KeyError, match="no scores of 'rmse_rank_maen'; nearest: 'rmse_rank_mean'"):
        ps.pl.rank_distribution(judged, metric="rmse_rank_maen")
    with pytest.raises(KeyError, match=r"`ps\.ev\.rank_metrics` scores it"):
        ps.pl.rank_distribution(judged, metric="mae_rank_mean")
    with pytest.raises(KeyError, match="no scores of prediction 'liner'; nearest: 'linear'"):
        ps.pl.rank_distribution(judged, "liner")
    with pytest.raises(ValueError, match="'rmse_mean' is no rank"):
        ps.pl.rank_distribution(judged, metric="rmse_mean")


# -- comparison ----------------------------------------------------------------------------------


def test_comparison_shows_both_scores_and_who_wins(judged) -> None:
    first, second = NAMES[0], NAMES[2]
    ax = ps.pl.comparison(judged, first, second, n_labels=4)
    rows = _rows(judged, "error_metrics", "rmse", "mean")
    name = rows["cell_type"].astype(str) + "|" + rows["perturbation"].astype(str)
    wide = rows.assign(name=name).pivot_table("value", "name", "prediction", observed=True)
    cloud = max(ax.lines, key=lambda line: len(line.get_xdata()))
    drawn = np.stack([cloud.get_xdata(), cloud.get_ydata()], axis=1)
    truth = wide[[first, second]].to_numpy()
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(truth, axis=0))
    assert {tuple(row) for row in drawn} == {tuple(row) for row in truth}
    share = 100 * (wide[first] < wide[second]).mean()
    assert f"{first} is better in {share:.0f} %" in ax.get_title()
    assert "of 24 conditions" in ax.get_title()
    strongest = (wide[first] - wide[second]).abs().nlargest(4).index
    assert {t.get_text() for t in ax.texts} == set(strongest)
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlabel() == f"{first}\nrmse_mean (lower is better)"
    assert ax.get_ylabel() == f"{second}\nrmse_mean (lower is better)"


def test_comparison_agrees_with_the_direction(judged) -> None:
    rows = _rows(judged, "error_metrics", "cosine", "effect").set_index("prediction")["value"]
    share = 100 * (rows[NAMES[0]].to_numpy() > rows[NAMES[1]].to_numpy()).mean()
    title = ps.pl.comparison(judged, NAMES[0], NAMES[1], metric="cosine_effect").get_title()
    assert f"{NAMES[0]} is better in {share:.0f} %" in title
    ax = ps.pl.comparison(judged, NAMES[0], NAMES[1], metric="cosine_to_mean_effect")
    assert "better" not in ax.get_title() + ax.get_xlabel()


def test_comparison_with_itself_names_nobody(judged) -> None:
    _, mine = plt.subplots()
    ax = ps.pl.comparison(judged, NAMES[0], NAMES[0], ax=mine)
    assert ax is mine
    assert not ax.texts
    assert ax.get_title().count(" 0 %") == 2


def test_comparison_takes_what_was_judged_last() -> None:
    adata = predicted_screen(5, 2)
    ps.ev.error_metrics(adata)
    ps.ev.evaluate(adata, metrics=["rmse_mean"], floor=False, ceiling=False)
    adata.uns["evaluation"]["value"] *= 3
    ax = ps.pl.comparison(adata, *NAMES[:2])
    cloud = max(ax.lines, key=lambda line: len(line.get_xdata()))
    assert len(cloud.get_xdata()) == 5
    last = _rows(adata, "evaluation", "rmse", "mean").set_index("prediction")["value"]
    np.testing.assert_allclose(cloud.get_xdata(), last[NAMES[0]])


def test_comparison_refuses(judged) -> None:
    with pytest.raises(KeyError, match="no scores of 'rmse_maen'; nearest: 'rmse_mean'"):
        ps.pl.comparison(judged, *NAMES[:2], metric="rmse_maen")
    with pytest.raises(KeyError, match="no scores of prediction 'liner'; nearest: 'linear'"):
        ps.pl.comparison(judged, "liner", NAMES[1])
    with pytest.raises(ValueError, match="`n_labels`=-1"):
        ps.pl.comparison(judged, *NAMES[:2], n_labels=-1)
    empty = judged.copy()
    empty.uns["error_metrics"]["value"] = np.nan
    with pytest.raises(ValueError, match="no condition has a 'rmse_mean' of both"):
        ps.pl.comparison(empty, *NAMES[:2])


# -- ceiling -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "quantile"), [("rmse", 0.9), ("pearson", 0.1)])
def test_ceiling_shows_the_quantiles(with_ceiling, metric, quantile) -> None:
    (ax,) = ps.pl.ceiling(with_ceiling, metric=f"{metric}_effect")
    rows = _rows(with_ceiling, "ceiling", metric, "effect")
    groups = rows.groupby("quantile")["value"]
    median = _labelled(ax, "median of conditions")
    np.testing.assert_allclose(median.get_xdata(), groups.median().index)
    np.testing.assert_allclose(median.get_ydata(), groups.median())
    np.testing.assert_allclose(_labelled(ax, "experimental error").get_xdata(), quantile)
    here = np.isclose(rows["quantile"], quantile)
    assert f"{rows['value'][here].median():.3g} at quantile" in ax.get_title()
    edge = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert edge.min() == pytest.approx(groups.quantile(0.05).min())
    assert edge.max() == pytest.approx(groups.quantile(0.95).max())


def test_ceiling_of_few_conditions_has_a_line_each() -> None:
    adata = predicted_screen(4, 1)
    ps.ev.ceiling(adata, metrics=["rmse_effect"], n_outer=3, key_added="mine")
    _, mine = plt.subplots()
    (ax,) = ps.pl.ceiling(adata, "mine", axes=[mine])
    assert ax is mine
    thin = [line.get_ydata() for line in ax.lines if line.get_color() == "0.7"]
    table = adata.uns["mine"].sort_values(["perturbation", "quantile"])
    truth = [g["value"].to_numpy() for _, g in table.groupby("perturbation", observed=True)]
    np.testing.assert_allclose(sorted(map(tuple, thin)), sorted(map(tuple, truth)))


def test_ceiling_of_a_diagnosis_marks_nothing(with_ceiling) -> None:
    (ax,) = ps.pl.ceiling(with_ceiling, "diagnosis")
    assert "quantile" not in ax.get_title()
    assert "better" not in ax.get_ylabel()
    assert "experimental error" not in [line.get_label() for line in ax.lines]


def test_ceiling_refuses(with_ceiling) -> None:
    assert len(ps.pl.ceiling(with_ceiling)) == 2
    with pytest.raises(KeyError, match=r"holds no ceiling: call `ps\.ev\.ceiling`"):
        ps.pl.ceiling(with_ceiling, "ceilings")
    with pytest.raises(KeyError, match="has no 'rmse_efect'; nearest: 'rmse_effect'"):
        ps.pl.ceiling(with_ceiling, metric="rmse_efect")
    with pytest.raises(ValueError, match="1 Axes for 2 metrics"):
        ps.pl.ceiling(with_ceiling, axes=[plt.gca()])
