"""Effects that spread over a known graph: whose embedding knows it predicts unseen perturbations.

The benchmark ``unseen_known_truth.py`` asks the same of a larger screen, of more embeddings.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.response.known_effects import add

import pertscope as ps

SOURCES = ["spectral", "noise", "gene_pca"]
STACK = "ridge_stack_" + "+".join(SOURCES)


@pytest.fixture(scope="module")
def judged():
    """Mean l2 error of each prediction, overall and by line, experimental error, and the screen."""
    graph = ps.datasets.simulate_graph(200, n_communities=6, seed=1)
    cells = ps.datasets.simulate_screen(
        n_perturbations=100,
        n_genes=200,
        n_cells_per_condition=30,
        n_controls=200,
        covariates=("A", "B"),
        graph=graph,
        seed=1,
    )
    ps.pp.register(cells, covariate_keys=["cell_type"], batch_key="batch")
    ps.pp.normalize(cells)
    screen = ps.tl.effects(cells)
    add(screen, ps.tl.embed_spectral(graph, 20), "spectral")
    add(screen, ps.tl.embed_graph_network(graph, 32, accelerator="cpu"), "gcn")
    add(screen, ps.tl.embed_gene_pca(cells, 30), "gene_pca")
    add(screen, ps.tl.embed_random(list(cells.var_names), seed=5), "noise")
    few = {"n_neighbors": [3, 5, 10, 20, 40, 79]}
    every = [*SOURCES, "gcn"]
    bounds = ["train_mean", "random", "idealised"]
    ps.tl.cross_validate(screen, "knn", every, bounds=bounds, **few)
    ps.tl.cross_validate(screen, "ridge", every)
    ps.tl.cross_validate(screen, "ridge", [SOURCES], join="stack", key_added="ridge_stack")
    ps.ev.error_metrics(screen, metrics=["l2"], statistics=["effect"], split=None)
    ps.ev.ceiling(
        cells, metrics=["l2_ba_ate"], method="hierarchical-bootstrap", n_outer=5, n_inner=5
    )
    curve = cells.uns["ceiling"]
    error = curve.loc[np.isclose(curve["quantile"].astype(float), 0.9), "value"].mean()
    values = screen.uns["error_metrics"].astype({"prediction": str, "cell_type": str})
    lines = values.groupby(["prediction", "cell_type"])["value"].mean().unstack()
    return lines.mean(axis=1), lines, error, cells, screen


@pytest.mark.parametrize("regressor", ["knn", "ridge"])
@pytest.mark.parametrize("name", ["spectral", "gcn"])
def test_the_graph_is_learned_from(judged, regressor, name) -> None:
    """In every line, and beyond doubt; against random vectors and the expression of controls."""
    _, lines, _, _, screen = judged
    ours = f"{regressor}_{name}"
    for other in ("knn_random", f"{regressor}_gene_pca", "train_mean"):
        assert (lines.loc[ours] < 0.85 * lines.loc[other]).all()
        assert ps.get.comparison(screen, ours, other).loc["l2_effect", "ci_high"] < 0


@pytest.mark.parametrize("name", ["knn_random", "knn_noise", "ridge_noise", "ridge_gene_pca"])
def test_what_knows_nothing_sits_at_the_train_mean(judged, name) -> None:
    means, _, error, _, _ = judged
    gap = means["train_mean"] - error
    assert abs(means["train_mean"] - means[name]) < 0.05 * gap


def test_useless_sources_do_no_harm_in_a_stack(judged) -> None:
    means, _, error, _, _ = judged
    gap = means["train_mean"] - error
    assert means[STACK] < means["ridge_spectral"] + 0.03 * gap


def test_idealised_is_near_the_experimental_error(judged) -> None:
    means, _, error, _, _ = judged
    closed = (means["train_mean"] - means["knn_idealised"]) / (means["train_mean"] - error)
    assert 0.85 < closed < 1.15


def test_predictions_are_near_the_truth(judged) -> None:
    """Perturbations never seen are predicted about as well as their own cells measure them."""
    _, _, _, cells, screen = judged
    truth = cells.uns["simulation"]["truth"].to_df(layer="effect")
    prediction = ps.get.prediction(screen, "ridge_spectral")
    names = prediction.obs[["cell_type", "perturbation"]].astype(str).agg("|".join, axis=1)
    true = truth.loc[names].to_numpy()
    observed = np.asarray(screen[prediction.obs_names].X)
    mean = ps.get.prediction(screen, "train_mean")[prediction.obs_names].X
    error = {
        name: np.linalg.norm(x - true, axis=1).mean()
        for name, x in (("ours", prediction.X), ("observed", observed), ("mean", mean))
    }
    assert error["ours"] < 0.6 * error["mean"]
    assert error["ours"] < 1.2 * error["observed"]
