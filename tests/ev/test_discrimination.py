"""cell-eval's discrimination score: against cell-eval and against distances computed one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from tests.ev.cell_eval import run_cell_eval
from tests.helpers import dense

from pertscope.ev._discrimination import DISTANCES, discrimination_score

METRICS = ("l1", "l2", "cosine")


def one_distance(metric: str, a: np.ndarray, b: np.ndarray) -> float:
    if metric == "cosine":
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        return 1 - a @ b / lengths if lengths > 0 else 1.0
    return float(np.linalg.norm(a - b, ord=int(metric[1])))


def by_loops(metric, predicted, observed, exclude) -> np.ndarray:
    p, n_genes = observed.shape
    distance = np.empty((p, p))
    for i in range(p):
        keep = np.arange(n_genes) != exclude[i]
        for j in range(p):
            distance[i, j] = one_distance(metric, predicted[i, keep], observed[j, keep])
    return distance


def bulk_effects(adata) -> tuple[list[str], np.ndarray]:
    """Mean of sorted conditions minus that of the controls."""
    labels = adata.obs["condition"].astype(str).to_numpy()
    x = dense(adata.X)
    names = sorted(set(labels) - {"control"})
    means = np.array([x[labels == name].mean(axis=0) for name in names])
    return names, means - x[labels == "control"].mean(axis=0)


@pytest.fixture
def pair(devel):
    """K562, every second cell observed; of the others a part goes by another condition's name.

    Half of the conditions are named after genes, of which cell-eval leaves out the target.
    """
    cells = devel[devel.obs["cell_type"] == "k562"].copy()
    labels = cells.obs["condition"].astype(str).to_numpy()
    names = sorted(set(labels) - {"control"})
    strong = cells.var_names[np.argsort(-dense(cells.X).mean(axis=0))[: len(names) // 2]]
    renamed = dict(zip(names, [*strong, *names[len(strong) :]], strict=True))
    labels = np.array([renamed.get(name, name) for name in labels])
    cells.obs["condition"] = pd.Categorical(labels)
    odd = np.arange(cells.n_obs) % 2 == 1
    predicted, observed = cells[odd].copy(), cells[~odd].copy()
    rng = np.random.default_rng(0)
    moved = np.flatnonzero((labels[odd] != "control") & (rng.random(odd.sum()) < 0.7))
    mixed = labels[odd]
    mixed[moved] = mixed[rng.permutation(moved)]
    predicted.obs["condition"] = pd.Categorical(mixed)
    return predicted, observed


def of_cell_eval(predicted, observed) -> pd.DataFrame:
    return run_cell_eval(
        predicted, observed, perturbation_key="condition", control="control", profile="anndata"
    )


def test_cell_eval_when_nothing_is_predicted(pair) -> None:
    """A zero vector is as far from every effect; cell-eval then ranks by name."""
    _, observed = pair
    first = ~observed.obs["condition"].duplicated()
    nothing = observed[first.to_numpy()].copy()  # one cell each: means of copies may be rounded
    nothing.X = np.repeat(dense(observed.X[:1]), nothing.n_obs, axis=0)
    want = of_cell_eval(nothing, observed)["discrimination_score_cosine"]
    zero, b = np.zeros((len(want), observed.n_vars)), bulk_effects(observed)[1]
    got = discrimination_score(zero, b, "cosine", compat="cell-eval")
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    assert np.ptp(got) > 0.9
    middle = 1 - (len(b) - 1) / (2 * len(b))
    np.testing.assert_allclose(discrimination_score(zero, b, "cosine"), middle)


def test_cell_eval_on_cells(pair) -> None:
    predicted, observed = pair
    want = of_cell_eval(predicted, observed)
    names, a = bulk_effects(predicted)
    _, b = bulk_effects(observed)
    exclude = observed.var_names.get_indexer(names)
    assert (exclude >= 0).sum() > 10
    assert list(want.index) == names
    for metric in METRICS:
        column = want[f"discrimination_score_{metric}"].to_numpy()
        assert len(np.unique(column)) > 3
        for compat in ("cell-eval", None):
            got = discrimination_score(a, b, metric, exclude=exclude, compat=compat)
            np.testing.assert_allclose(got, column, rtol=0, atol=1e-6)
        without = discrimination_score(a, b, metric)
        assert (without != got).any(), "leaving out the target changes nothing"


@pytest.mark.parametrize("metric", METRICS)
@given(st.integers(0, 999), st.integers(1, 8), st.integers(1, 6), st.sampled_from([0, 2, 8]))
def test_distances(metric, seed, p, n_genes, exponent) -> None:
    """Also where the gene left out is up to 1e8 times as large as the others."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, p, n_genes))
    exclude = rng.integers(-1, n_genes, p)
    rows = np.flatnonzero(exclude >= 0)
    a[rows, exclude[rows]] *= 10.0**exponent
    b[rows, exclude[rows]] *= 10.0 ** (exponent if metric != "l2" else min(exponent, 2))
    got = DISTANCES[metric](a, b, exclude)
    want = by_loops(metric, a, b, exclude)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 if metric != "l2" else 1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_no_exclusion(metric, rng) -> None:
    a, b = rng.normal(size=(2, 9, 7))
    got = DISTANCES[metric](a, b, np.full(9, -1))
    name = {"l1": "cityblock", "l2": "euclidean", "cosine": "cosine"}[metric]
    np.testing.assert_allclose(got, cdist(a, b, name), rtol=1e-10)


@pytest.mark.parametrize("metric", METRICS)
@given(st.integers(0, 999), st.integers(2, 8))
def test_ranks_with_ties(metric, seed, p) -> None:
    """Few distinct effects; a tie counts one half."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2, (2, p, 3)).astype(float)
    exclude = rng.integers(-1, 3, p)
    distance = by_loops(metric, a, b, exclude).round(9)
    own = np.diag(distance)[:, None]
    rank = (distance < own).sum(axis=1) + ((distance == own).sum(axis=1) - 1) / 2
    got = discrimination_score(a, b, metric, exclude=exclude)
    np.testing.assert_allclose(got, 1 - rank / p, rtol=1e-12)


def test_by_hand() -> None:
    observed = np.array([[0.0, 0], [1, 0], [5, 0]])
    predicted = np.array([[0.1, 0], [3.1, 0], [0.2, 9]])
    np.testing.assert_allclose(discrimination_score(predicted, observed, "l1"), [1, 2 / 3, 1 / 3])
    same = discrimination_score(np.zeros((3, 2)), observed, "cosine")
    np.testing.assert_allclose(same, 2 / 3)  # all tied: the middle rank
    for compat, want in ((None, np.nan), ("cell-eval", 1.0)):
        alone = discrimination_score(predicted[:1], observed[:1], "l2", compat=compat)
        np.testing.assert_array_equal(alone, [want])


def test_refusals(rng) -> None:
    a = rng.normal(size=(3, 4))
    with pytest.raises(ValueError, match="unknown metric 'l3'"):
        discrimination_score(a, a, "l3")
    with pytest.raises(ValueError, match="`compat`='x' must be None or 'cell-eval'"):
        discrimination_score(a, a, "l1", compat="x")
    with pytest.raises(ValueError, match="they must be the same"):
        discrimination_score(a[:2], a, "l1")
    for exclude in ([0, 1], [0, 1, 4], [0, 1, -2]):
        with pytest.raises(ValueError, match="`exclude` must be 3 gene indices below 4"):
            discrimination_score(a, a, "l1", exclude=np.array(exclude))
