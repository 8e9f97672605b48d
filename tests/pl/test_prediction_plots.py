"""Plots of predictions themselves show what an independent computation finds."""

from __future__ import annotations

import itertools

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import cosine_similarity
from tests.pl.pictures import NAMES, predicted_screen

import pertscope as ps


@pytest.fixture(scope="module")
def screen():
    return predicted_screen(8, 2, contexts=("k562", "a549"))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def _names(ax):
    return [t.get_text() for t in ax.get_yticklabels()]


def _of(adata, name):
    """Effects of a prediction, named as in the plot."""
    prediction = ps.get.prediction(adata, name)
    cells = adata.to_df().groupby(
        [adata.obs["cell_type"], adata.obs["perturbation"]], observed=True
    )
    controls = cells.mean().xs("control", level="perturbation")
    effects = prediction.to_df() - controls.loc[prediction.obs["cell_type"]].to_numpy()
    key = prediction.obs["cell_type"].astype(str) + "|" + prediction.obs["perturbation"].astype(str)
    return effects.set_index(key.to_numpy())


# -- similarity ----------------------------------------------------------------------------------


def test_heatmaps_hold_the_cosines_in_one_order(screen) -> None:
    axes = ps.pl.similarity(screen)
    names = _names(axes[0])
    assert [ax.get_title() for ax in axes] == ["observed", *NAMES[:2]]
    observed = ps.get.effects(screen)
    observed.index = ["|".join(row) for row in observed.index]
    assert sorted(names) == sorted(observed.index)
    for ax, effects in zip(axes, [observed, *(_of(screen, n) for n in NAMES[:2])], strict=True):
        truth = cosine_similarity(effects.loc[names])
        shown = ax.images[0].get_array()
        np.testing.assert_allclose(shown, truth, atol=1e-5)
        assert ax.images[0].get_clim() == (-1, 1)
        mean = truth[~np.eye(len(truth), dtype=bool)].mean()
        assert float(ax.get_xlabel().split()[-1]) == pytest.approx(mean, abs=0.0051)
    assert len(axes[0].figure.axes) == 4  # one colour bar


def test_similar_conditions_are_neighbours() -> None:
    adata = predicted_screen(6, 1, contexts=("a", "b"))  # each condition twice, of one effect
    names = [name.split("|")[1] for name in _names(ps.pl.similarity(adata)[0])]
    assert sum(a == b for a, b in itertools.pairwise(names)) >= 5


def test_similarity_of_one_context_into_given_axes(screen) -> None:
    _, mine = plt.subplots(1, 2, figsize=(9, 5))
    axes = ps.pl.similarity(screen, NAMES[1], covariates={"cell_type": "k562"}, axes=list(mine))
    assert axes == list(mine)
    assert axes[0].images[0].get_array().shape == (8, 8)
    assert sorted(_names(axes[0])) == [f"GENE{i}" for i in range(8)]


def test_conditions_that_were_not_predicted_are_masked(screen) -> None:
    adata = screen.copy()
    part = ps.get.prediction(adata, NAMES[0])[:10].copy()
    ps.pp.add_prediction(adata, ad.AnnData(part.X, obs=part.obs, var=part.var), "part")
    axes = ps.pl.similarity(adata, "part")
    shown = axes[1].images[0].get_array()
    assert np.ma.count(shown) == 100
    assert np.ma.count(axes[0].images[0].get_array()) == 256
    whole = ps.pl.similarity(adata, "part", split=None)
    assert [ax.images[0].get_array().shape for ax in whole] == [(10, 10), (10, 10)]


def test_many_conditions_are_not_named() -> None:
    axes = ps.pl.similarity(predicted_screen(60, 1))
    assert axes[0].get_ylabel() == "60 conditions"
    assert not _names(axes[0])


def test_similarity_refuses(screen) -> None:
    with pytest.raises(KeyError, match="no prediction 'liner'; nearest: 'linear'"):
        ps.pl.similarity(screen, "liner")
    with pytest.raises(ValueError, match="unknown statistic"):
        ps.pl.similarity(screen, statistic="efect")
    with pytest.raises(KeyError, match="'celltype' is no covariate; nearest: 'cell_type'"):
        ps.pl.similarity(screen, covariates={"celltype": "k562"})
    with pytest.raises(ValueError, match="no judged condition has 'cell_type' 'K-562'"):
        ps.pl.similarity(screen, covariates={"cell_type": "K-562"})
    with pytest.raises(ValueError, match="1 Axes for 3 heatmaps"):
        ps.pl.similarity(screen, axes=[plt.gca()])
    with pytest.raises(ValueError, match="1 condition"):
        ps.pl.similarity(predicted_screen(1, 1))


# -- deg_overlap ---------------------------------------------------------------------------------


def _curve(ax, name):
    line = next(line for line in ax.lines if line.get_label() == name)
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_overlap_is_the_recall_of_the_metric(screen) -> None:
    adata = screen.copy()
    ps.ev.deg_metrics(adata, metrics=["deg_recall_at_20"])
    recall = ps.get.scores(adata).xs("deg_recall_at_20_t-test", axis=1, level=1)
    ax = ps.pl.deg_overlap(adata, max_genes=20)
    for name, band in zip(NAMES[:2], ax.collections, strict=True):
        k, share = _curve(ax, name)
        assert k[-1] == 20
        assert share[-1] == pytest.approx(recall["mean"][name])
        end = band.get_paths()[0].vertices
        end = end[end[:, 0] == 20, 1]
        assert end.min() == pytest.approx(recall["ci_low"][name])
        assert end.max() == pytest.approx(recall["ci_high"][name])


def test_overlap_counts_common_genes(screen) -> None:
    """Of predicted cells, against SciPy's Welch test and sets of genes."""
    from scipy.stats import ttest_ind

    adata = screen.copy()
    cells = adata[adata.obs["perturbation"] != "control"]
    rng = np.random.default_rng(1)
    noisy = np.maximum(cells.X + 0.5 * rng.normal(size=cells.shape), 0.01).astype(np.float32)
    columns = cells.obs[["cell_type", "perturbation"]]
    ps.pp.add_prediction(adata, ad.AnnData(noisy, obs=columns, var=adata.var), "noisy")
    ax = ps.pl.deg_overlap(adata, "noisy")
    k, share = _curve(ax, "noisy")
    truth = []
    for (context, _), rows in columns.reset_index().groupby([*columns], observed=True):
        here = adata[adata.obs["cell_type"] == context]
        control = here[here.obs["perturbation"] == "control"].X
        tests = [ttest_ind(x[rows.index], control, equal_var=False) for x in (noisy, cells.X)]
        a, b = (np.argsort(-np.abs(test.statistic)) for test in tests)
        truth.append([len({*a[:n]} & {*b[:n]}) / n for n in k])
    np.testing.assert_allclose(share, np.mean(truth, axis=0))
    assert k[0] == 1
    assert k[-1] == adata.n_vars
    chance = _curve(ax, f"chance: k / {adata.n_vars}")[1]
    np.testing.assert_allclose(chance, k / adata.n_vars)


def test_no_change_is_at_chance(screen) -> None:
    adata = screen.copy()
    adata.X = np.round(4 * adata.X) / 4  # means of 32 controls are exact, in float32 as well
    held_out = (adata.obs["perturbation"] == "GENE0") & (adata.obs["cell_type"] == "k562")
    adata.obs["split"] = pd.Categorical(np.where(held_out, "test", "train"))
    ps.tl.fit_no_change(adata)
    ax = ps.pl.deg_overlap(adata, "no_change")
    k, share = _curve(ax, "no_change")
    np.testing.assert_allclose(share, k / adata.n_vars)


def test_many_predictions_have_no_bands_and_lines_of_their_own() -> None:
    adata = predicted_screen(4, 12)
    _, mine = plt.subplots()
    ax = ps.pl.deg_overlap(adata, ax=mine)
    assert ax is mine
    assert not ax.collections
    looks = {(line.get_color(), str(line.get_linestyle())) for line in ax.lines}
    assert len(looks) == 13
    alone = ps.pl.deg_overlap(adata, NAMES[7]).lines[0]
    same = next(line for line in ax.lines if line.get_label() == NAMES[7])
    assert (alone.get_color(), alone.get_linestyle()) == (same.get_color(), same.get_linestyle())


def test_overlap_refuses(screen) -> None:
    with pytest.raises(KeyError, match="no prediction 'liner'; nearest: 'linear'"):
        ps.pl.deg_overlap(screen, "liner")
    with pytest.raises(ValueError, match="`method`='ttest' must be one of"):
        ps.pl.deg_overlap(screen, method="ttest")
    with pytest.raises(ValueError, match="`max_genes`=41 must be from 1 to 40"):
        ps.pl.deg_overlap(screen, max_genes=41)
    with pytest.raises(ValueError, match="`confidence`=1"):
        ps.pl.deg_overlap(screen, confidence=1)
