"""Which controls go with which cells."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from pertscope.data import transport_matching as transport
from pertscope.data.matching import random_matching
from pertscope.data.transport_matching import transport_matching


def test_random_controls_are_drawn_with_their_shares() -> None:
    shared = np.array([10, 11])
    matching = random_matching(np.array([4, 7, 4, 9]), {4: shared, 7: shared, 9: np.array([12])})
    assert matching.pool.tolist() == [10, 11, 12]  # shared controls are kept once
    drawn = matching.draw(np.random.default_rng(0), 2000)
    assert drawn.shape == (4, 2000)
    assert (drawn[3] == 12).all()
    for cell in range(3):
        assert set(drawn[cell]) == {10, 11}
        assert abs((drawn[cell] == 10).mean() - 0.5) < 0.05


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_transport_is_the_best_assignment(kind) -> None:
    """With as many controls as cells the plan is a permutation: SciPy's optimal assignment."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8)).astype(np.float32)
    x[30:] += 1
    controls, cells = np.arange(30), np.arange(30, 60)
    condition = np.repeat([5, 6], 15)
    there = {5: controls[:15], 6: controls[15:]}
    matching = transport_matching(kind(x), cells, condition, there, seed=0, n_components=7)
    drawn = matching.draw(np.random.default_rng(1), 5)
    assert (drawn == drawn[:, :1]).all()
    # seven components of eight genes, so distances are those in the plane they span
    centred = x - x.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:7]
    u = centred @ axes.T
    for code in (5, 6):
        mine = cells[condition == code]
        cost = cdist(u[mine], u[there[code]], "sqeuclidean")
        best = there[code][linear_sum_assignment(cost)[1]]
        np.testing.assert_array_equal(drawn[condition == code, 0], best)


def test_transport_weighs_controls_evenly() -> None:
    """Over all cells of a condition every control is drawn as often: what a plan is."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(28, 5)).astype(np.float32)
    cells = np.arange(20, 28)
    matching = transport_matching(x, cells, np.zeros(8, int), {0: np.arange(20)}, seed=0)
    drawn = matching.draw(np.random.default_rng(0), 5000)
    share = np.bincount(drawn.ravel(), minlength=20) / drawn.size
    np.testing.assert_allclose(share, 1 / 20, atol=0.01)
    uniform = random_matching(np.zeros(8, int), {0: np.arange(20)}).draw(rng, 5000)

    def cost(matched: np.ndarray) -> float:
        return float(((x[cells][:, None] - x[matched]) ** 2).sum(2).mean())

    assert cost(drawn) < 0.8 * cost(uniform)


def test_transport_in_parts(monkeypatch) -> None:
    """Large conditions are cut into random parts: every cell still gets a control of its own."""
    monkeypatch.setattr(transport, "MAX_CELLS", 7)
    monkeypatch.setattr(transport, "MAX_CONTROLS", 6)
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    controls = {1: np.arange(10), 2: np.arange(10, 20)}
    condition = np.tile([1, 2], 15)
    first, second = (
        transport_matching(x, np.arange(20, 50), condition, controls, seed=3).draw(
            np.random.default_rng(0), 20
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first[condition == 1] < 10).all()
    assert ((first[condition == 2] >= 10) & (first[condition == 2] < 20)).all()


@pytest.mark.parametrize("shape", [(2, 3), (6, 1)])
def test_transport_of_next_to_nothing(shape) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    n = shape[0] // 2
    cells = np.arange(n, 2 * n)
    matching = transport_matching(x, cells, np.zeros(n, int), {0: np.arange(n)}, seed=0)
    assert set(matching.draw(np.random.default_rng(0)).ravel()) <= set(range(n))
