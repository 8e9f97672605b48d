"""Collapse, distribution and DEG metrics through the public functions, against plain NumPy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from tests.ev.worlds import means_of, permuted, perturbed, table_of, world
from tests.helpers import dense, fingerprint

import pertscope as ps

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

CONTEXTS = ("x", "y")
LABELS = tuple(f"p{i}" for i in range(6))
KEYS = ["metric", "cell_type", "perturbation"]


@pytest.fixture
def adata() -> ad.AnnData:
    """World with a prediction that is half right, of other numbers of cells than observed."""
    adata = world()
    cells = permuted(adata, 3)
    rng = np.random.default_rng(1)
    cells = cells[rng.permutation(cells.n_obs)[:170]].copy()
    ps.pp.add_prediction(adata, cells, "mine")
    return adata


def cells_of(adata: ad.AnnData, context: str, label: str) -> np.ndarray:
    obs = adata.obs
    return dense(
        adata.X[((obs["cell_type"] == context) & (obs["perturbation"] == label)).to_numpy()]
    )


def pairs_of_cells(adata: ad.AnnData):
    """Condition, predicted cells, observed cells, controls."""
    predicted = ps.get.prediction(adata, "mine")
    for context, label in itertools.product(CONTEXTS, LABELS):
        yield (
            (context, label),
            cells_of(predicted, context, label),
            cells_of(adata, context, label),
            cells_of(adata, context, "control"),
        )


def effects(adata: ad.AnnData) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predicted and observed effects of each cell type, conditions x genes."""
    found = {c: ([], []) for c in CONTEXTS}
    for (context, _), p, o, control in pairs_of_cells(adata):
        for side, x in zip(found[context], (p, o), strict=True):
            side.append(x.mean(axis=0) - control.mean(axis=0))
    return {c: (np.array(p), np.array(o)) for c, (p, o) in found.items()}


def scores(adata: ad.AnnData, key: str) -> pd.Series:
    return table_of(adata, key).set_index(KEYS)["value"].sort_index()


def test_collapse(adata) -> None:
    ps.ev.collapse_metrics(adata)
    got, both = scores(adata, "collapse_metrics"), effects(adata)
    for context, (p, o) in both.items():
        spread = [np.sqrt(((v - v.mean(axis=0)) ** 2).sum()) for v in (p, o)]
        assert got["dispersion_ratio", context, "(all)"] == pytest.approx(spread[0] / spread[1])
        nearest = [(cdist(v, v) + 1e9 * np.eye(len(v))).min(axis=1) for v in (p, o)]
        want = np.mean(nearest[0] < nearest[1].min())
        assert got["crowded_share", context, "(all)"] == want
        for label, row in zip(LABELS, p, strict=True):
            mean = p.mean(axis=0)
            cosine = row @ mean / np.linalg.norm(row) / np.linalg.norm(mean)
            assert got["cosine_to_mean", context, label] == pytest.approx(cosine)
    p, o = (np.concatenate([both[c][i] for c in CONTEXTS]) for i in (0, 1))
    want = np.linalg.norm((1 - cdist(p, p, "cosine")) - (1 - cdist(o, o, "cosine")))
    assert got["matrix_distance", "(all)", "(all)"] == pytest.approx(want)


def test_collapse_of_a_collapsed_model() -> None:
    """The same for everything: no dispersion, cosine 1, all crowded, nothing clustered."""
    adata = world()
    means = means_of(perturbed(adata))
    for context in CONTEXTS:
        here = (means.obs["cell_type"] == context).to_numpy()
        means.X[here] = means.X[here].mean(axis=0)
    ps.pp.add_prediction(adata, means, "mine")
    ps.ev.collapse_metrics(adata)
    got = scores(adata, "collapse_metrics")
    np.testing.assert_allclose(got["dispersion_ratio"], 0, atol=1e-6)
    np.testing.assert_allclose(got["cosine_to_mean"], 1)
    np.testing.assert_array_equal(got["crowded_share"], 1)


def test_collapse_finds_what_errors_miss() -> None:
    """A mean effect has a smaller error than a noisy but diverse prediction, and is found out."""
    adata = world()
    diverse = means_of(perturbed(adata))
    collapsed = diverse.copy()
    for context in CONTEXTS:
        here = (diverse.obs["cell_type"] == context).to_numpy()
        collapsed.X[here] = diverse.X[here].mean(axis=0)
    diverse.X += np.random.default_rng(0).normal(0, 1.1, diverse.shape)
    ps.pp.add_prediction(adata, diverse, "diverse")
    ps.pp.add_prediction(adata, collapsed, "collapsed")
    ps.ev.error_metrics(adata, metrics=["rmse"], statistics=["mean"])
    ps.ev.rank_metrics(adata, distances=[("rmse", "mean")])
    ps.ev.collapse_metrics(adata)
    mean = ps.get.scores(adata)["mean"]
    assert mean.loc["collapsed", "rmse_mean"] < mean.loc["diverse", "rmse_mean"]
    assert mean.loc["collapsed", "rmse_rank_mean"] == 0.5 > mean.loc["diverse", "rmse_rank_mean"]
    assert mean.loc["diverse", "dispersion_ratio_effect"] > 0.8


def energy(x: np.ndarray, y: np.ndarray) -> float:
    return 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()


def rbf(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a, b):
        squared = cdist(a, b, "sqeuclidean")
        return np.mean([np.exp(-g * squared).mean() for g in (2, 1, 0.5, 0.1, 0.01, 0.005)])

    return kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    return np.mean([stats.wasserstein_distance(a, b) for a, b in zip(x.T, y.T, strict=True)])


ORACLES = {
    "energy_distance": energy,
    "half_energy_distance": lambda x, y: energy(x, y) / 2,
    "squared_energy_distance": lambda x, y: 2 * ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum(),
    "mmd_linear": lambda x, y: ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum(),
    "mmd_rbf": rbf,
    "wasserstein": wasserstein,
}


@pytest.mark.parametrize("space", ["genes", "pca"])
def test_distributions(adata, space) -> None:
    ps.ev.distribution_metrics(adata, metrics=list(ORACLES), space=space, n_components=8)
    got = scores(adata, "distribution_metrics")
    fit = PCA(8, svd_solver="full").fit(dense(adata.X))
    for (context, label), *cells, _ in pairs_of_cells(adata):
        p, o = (fit.transform(x) if space == "pca" else x for x in cells)
        for metric, oracle in ORACLES.items():
            want = oracle(p, o)
            assert got[metric, context, label] == pytest.approx(want, rel=1e-4, abs=1e-7), metric


def test_magnitudes(adata) -> None:
    """Correlation over conditions of the distances to the controls."""
    ps.ev.distribution_metrics(adata, metrics=["magnitude_pearson"], space="genes")
    got = scores(adata, "distribution_metrics")
    far = {c: ([], []) for c in CONTEXTS}
    for (context, _), p, o, control in pairs_of_cells(adata):
        for side, x in zip(far[context], (p, o), strict=True):
            side.append(energy(x, control))
    for context, (p, o) in far.items():
        want = stats.pearsonr(p, o).statistic
        assert got["magnitude_pearson", context, "(all)"] == pytest.approx(want, rel=1e-5)


def test_large_populations_are_sampled_with_a_seed(adata) -> None:
    tables = []
    for seed in (0, 0, 1):
        ps.ev.distribution_metrics(adata, metrics=["energy_distance"], max_cells=8, seed=seed)
        tables.append(adata.uns["distribution_metrics"])
    assert fingerprint(tables[0]) == fingerprint(tables[1])
    assert not np.allclose(tables[0]["value"], tables[2]["value"])
    ps.ev.distribution_metrics(adata, metrics=["energy_distance"])
    whole = adata.uns["distribution_metrics"]["value"]
    assert tables[0]["value"].corr(whole) > 0.8


def welch(cells: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and adjusted p-values of Welch's t."""
    found = stats.ttest_ind(cells, control, axis=0, equal_var=False)
    return found.statistic, stats.false_discovery_control(found.pvalue)


def rank_sum(cells: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z and adjusted p-values of SciPy's Mann-Whitney."""
    found = stats.mannwhitneyu(cells, control, axis=0, method="asymptotic")
    n, m = len(cells), len(control)
    sign = np.sign(found.statistic - n * m / 2)
    z = sign * stats.norm.isf(found.pvalue / 2)
    return z, stats.false_discovery_control(found.pvalue)


@pytest.mark.parametrize(("method", "test"), [("t-test", welch), ("mann_whitney", rank_sum)])
def test_degs(adata, method, test) -> None:
    names = ["deg_recall_at_20", "significant_recall", "direction_match", "overlap_at_N", "deg_f1"]
    names += ["n_significant_predicted", "n_significant_observed", "count_spearman"]
    ps.ev.deg_metrics(adata, metrics=names, method=method)
    got = scores(adata, "deg_metrics")
    numbers = {c: ([], []) for c in CONTEXTS}
    for (context, label), p, o, control in pairs_of_cells(adata):
        (t, q), (t_0, q_0) = test(p, control), test(o, control)
        hit, truth = q < 0.05, q_0 < 0.05
        assert truth.any()
        top = [set(np.argsort(-np.abs(v))[:20]) for v in (t, t_0)]
        n = int(truth.sum())
        first = [
            set(np.argsort(np.where(s, -np.abs(v), np.inf))[: min(n, s.sum())])
            for v, s in ((t, hit), (t_0, truth))
        ]
        same_sign = np.sign(p.mean(axis=0) - control.mean(axis=0)) == np.sign(
            o.mean(axis=0) - control.mean(axis=0)
        )
        labels = [np.sign(v) * s for v, s in ((t, hit), (t_0, truth))]
        classes = [c for c in (-1, 0, 1) if (labels[1] == c).any()]
        f1 = [
            2
            * np.sum((labels[0] == c) & (labels[1] == c))
            / (np.sum(labels[0] == c) + np.sum(labels[1] == c))
            for c in classes
        ]
        want = {
            "deg_recall_at_20": len(top[0] & top[1]) / 20,
            "significant_recall": np.mean(hit[truth]),
            "direction_match": np.mean(same_sign[truth]),
            "overlap_at_N": len(first[0] & first[1]) / n,
            "deg_f1": np.mean(f1),
            "n_significant_predicted": hit.sum(),
            "n_significant_observed": n,
        }
        for metric, value in want.items():
            assert got[metric, context, label] == pytest.approx(value, abs=1e-9), metric
        for side, s in zip(numbers[context], (hit, truth), strict=True):
            side.append(s.sum())
    for context, (a, b) in numbers.items():
        want = stats.spearmanr(a, b).statistic
        assert got["count_spearman", context, "(all)"] == pytest.approx(want)


def test_alpha_and_method_matter(adata) -> None:
    found = {}
    for alpha, method in ((0.05, "t-test"), (1e-6, "t-test"), (0.05, "wilcoxon")):
        ps.ev.deg_metrics(adata, metrics=["n_significant_observed"], alpha=alpha, method=method)
        found[alpha, method] = adata.uns["deg_metrics"]["value"].sum()
    assert found[1e-6, "t-test"] < found[0.05, "t-test"] != found[0.05, "wilcoxon"]


def test_means_are_tested_with_the_controls_variance(adata) -> None:
    """Welch's t of a mean: variance of its controls, number of cells observed."""
    other = world()
    ps.pp.add_prediction(other, means_of(ps.get.prediction(adata, "mine")), "mine")
    for method in ("t-test", "wilcoxon"):
        ps.ev.deg_metrics(other, metrics=["n_significant_predicted"], method=method)
        got = scores(other, "deg_metrics")
        for (context, label), p, o, control in pairs_of_cells(adata):
            test = stats.ttest_ind_from_stats(
                p.mean(axis=0),
                np.sqrt(control.var(axis=0) * len(o) / (len(o) - 1)),
                len(o),
                control.mean(axis=0),
                control.std(axis=0, ddof=1),
                len(control),
                equal_var=False,
            )
            want = np.sum(stats.false_discovery_control(test.pvalue) < 0.05)
            assert got["n_significant_predicted", context, label] == want
