"""Transport distances against SciPy and linear programming; variances against a loop."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from tests.ev.populations import KINDS, two_populations

from pertscope.ev._wasserstein import (
    sinkhorn,
    sliced_wasserstein,
    variance_agreement,
    wasserstein_genes,
)


def by_scipy(x, y) -> np.ndarray:
    return np.array([stats.wasserstein_distance(a, b) for a, b in zip(x.T, y.T, strict=True)])


@pytest.mark.parametrize("of_x", KINDS)
@pytest.mark.parametrize("of_y", KINDS)
def test_genes(of_x, of_y, rng) -> None:
    x, y = two_populations(rng)
    x[:, 2] = 0
    y[:, 3] = 0
    x[:, 4] = y[:, 4] = 0
    got = wasserstein_genes(KINDS[of_x](x), KINDS[of_y](y))
    np.testing.assert_allclose(got, by_scipy(x, y), rtol=1e-12, atol=1e-14)


values = st.integers(-3, 3).map(float) | st.floats(-1e3, 1e3, allow_subnormal=False)
cells = hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(3)), elements=values)


@settings(max_examples=60)
@given(x=cells, y=cells)
def test_genes_of_any_values(x, y) -> None:
    """Negative values and ties with the zeros included."""
    got = wasserstein_genes(sp.csr_matrix(x), y)
    np.testing.assert_allclose(got, by_scipy(x, y), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(wasserstein_genes(x, x), 0)


def test_values_stored_twice_hold_their_sum() -> None:
    x = sp.csr_matrix(([1.0, 2.0, 1.0], [0, 0, 0], [0, 2, 3]), shape=(2, 1))
    np.testing.assert_allclose(wasserstein_genes(x, np.zeros((1, 1))), [2.0])


@pytest.mark.parametrize("kind", KINDS)
def test_sliced(kind, rng) -> None:
    x, y = two_populations(rng)
    directions = np.random.default_rng(7).normal(size=(6, 20))
    directions /= np.sqrt((directions**2).sum(axis=0))
    want = by_scipy(x @ directions, y @ directions).mean()
    got = sliced_wasserstein(KINDS[kind](x), KINDS[kind](y), n_projections=20, seed=7)
    assert got == pytest.approx(want, rel=1e-6)


def test_sliced_has_a_known_mean_and_a_seed(rng) -> None:
    """Point masses at distance r: r E|cos| over the sphere, 1/2 of it in three dimensions."""
    x, y = np.zeros((1, 3)), np.array([[0.0, 0, 4]])
    assert sliced_wasserstein(x, y, n_projections=20_000) == pytest.approx(2, rel=0.02)
    x, y = two_populations(rng)
    assert sliced_wasserstein(x, y, seed=1) == sliced_wasserstein(x, y, seed=1)
    assert sliced_wasserstein(x, y, seed=1) != sliced_wasserstein(x, y, seed=2)
    with pytest.raises(ValueError, match="`n_projections`=0 must be at least 1"):
        sliced_wasserstein(x, y, n_projections=0)


@pytest.mark.parametrize("kind", KINDS)
def test_sinkhorn_tends_to_the_assignment(kind, rng) -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 3)) + 1
    x, y = x.astype(np.float32).astype(float), y.astype(np.float32).astype(float)
    cost = cdist(x, y)
    exact = cost[linear_sum_assignment(cost)].mean()
    strong, weak = (sinkhorn(KINDS[kind](x), KINDS[kind](y), regularization=r) for r in (1.0, 0.01))
    assert exact - 1e-6 <= weak < strong < cost.mean()
    assert weak == pytest.approx(exact, rel=0.01)


def test_sinkhorn_minimises_its_objective(rng) -> None:
    """No plan of the same margins near the optimum is better; equal points cost nothing."""
    pytest.importorskip("ot", reason="POT is not installed")
    x, y = rng.normal(size=(2, 2, 3))
    cost = cdist(x, y)
    t = np.linspace(1e-6, 0.5 - 1e-6, 200_001)  # plans of a 2 x 2 problem: t on the diagonal
    plans = np.stack([t, 0.5 - t, 0.5 - t, t], axis=1)
    total = plans @ cost.ravel()
    objective = total + 0.3 * cost.mean() * (plans * np.log(plans)).sum(axis=1)
    assert sinkhorn(x, y, regularization=0.3) == pytest.approx(total[objective.argmin()], rel=1e-4)
    assert sinkhorn(np.ones((3, 2)), np.ones((4, 2))) == 0
    with pytest.raises(ValueError, match="`regularization`=0 must be positive"):
        sinkhorn(x, y, regularization=0)


def test_sinkhorn_without_pot(rng, monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "ot":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install POT"):
        sinkhorn(*two_populations(rng))


def by_loop(variance_a, mean_a, variance_b, mean_b) -> list[float]:
    def residual(v, m):
        v, m = stats.rankdata(v), stats.rankdata(m)
        fit = stats.linregress(m, v)
        return v - fit.intercept - fit.slope * m

    return [
        stats.spearmanr(residual(va, ma), residual(vb, mb)).statistic
        for va, ma, vb, mb in zip(variance_a, mean_a, variance_b, mean_b, strict=True)
    ]


def test_variance_agreement(rng) -> None:
    parts = rng.gamma(2, size=(4, 5, 40))
    got = variance_agreement(*parts)
    np.testing.assert_allclose(got, by_loop(*parts), atol=1e-12)
    monotone = variance_agreement(np.log(parts[0]), parts[1] ** 3 - 5, parts[2], parts[3])
    np.testing.assert_allclose(monotone, got, atol=1e-12)


def test_variance_that_follows_from_the_mean_is_no_agreement(rng) -> None:
    mean = rng.gamma(2, size=(300, 50))
    a, b = mean * rng.gamma(20, 1 / 20, size=(2, 300, 50))
    raw = [stats.spearmanr(*pair).statistic for pair in zip(a, b, strict=True)]
    assert np.mean(raw) > 0.8
    assert abs(variance_agreement(a, mean, b, mean).mean()) < 0.1  # ranks adjust nearly all
    assert variance_agreement(a, mean, a, mean) == pytest.approx(1)
    assert np.isnan(variance_agreement(mean**2, mean, b, mean)).all()
    assert np.isnan(variance_agreement(0 * mean, mean, b, mean)).all()
    flat = variance_agreement(a, 0 * mean, b, 0 * mean)  # equal means adjust nothing
    np.testing.assert_allclose(flat, raw, atol=1e-12)


def test_variance_agreement_wants_one_shape(rng) -> None:
    with pytest.raises(ValueError, match="must all be conditions x genes"):
        variance_agreement(*rng.random((3, 4, 5)), rng.random((4, 6)))
