"""The kernels: distances of all pairs, and ranks against the paper's equations as loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from pertscope._core.distances import PAIRWISE
from pertscope.ev._ranks import ranks

CDIST = {
    "l2": cdist,
    "rmse": lambda a, b: cdist(a, b) / np.sqrt(a.shape[1]),
    "mae": lambda a, b: cdist(a, b, "cityblock") / a.shape[1],
    "cosine": lambda a, b: cdist(a, b, "cosine"),
    "pearson": lambda a, b: cdist(a, b, "correlation"),
}


def by_the_paper(d: np.ndarray, ties: str) -> tuple[np.ndarray, np.ndarray]:
    """Equations 2 and 3; ``d[i, j]`` is d(xhat_i, x_j)."""
    p = len(d)
    rank, transposed = np.zeros(p), np.zeros(p)
    for i in range(p):
        for j in range(p):
            if i == j:
                continue
            for result, other in ((rank, d[j, i]), (transposed, d[i, j])):
                tie = 1.0 if ties == "worst" else 0.5
                result[i] += 1.0 if other < d[i, i] else tie if other == d[i, i] else 0.0
    return rank / (p - 1), transposed / (p - 1)


def test_every_distance_has_an_oracle() -> None:
    assert set(CDIST) == set(PAIRWISE)


@pytest.mark.parametrize("distance", CDIST)
@pytest.mark.parametrize("shift", [0, 100])
def test_pairwise(distance, shift, rng) -> None:
    a, b = rng.normal(size=(7, 5)) + shift, rng.normal(size=(4, 5)) + shift
    b[0] = a[0]
    got = PAIRWISE[distance](a, b)
    assert got.shape == (7, 4)
    np.testing.assert_allclose(got, CDIST[distance](a, b), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("distance", ["cosine", "pearson"])
def test_pairwise_of_zeros_and_constants(distance) -> None:
    a = np.array([[0.0, 0, 0], [2, 2, 2], [1, 2, 3]])
    got = PAIRWISE[distance](a, a)
    np.testing.assert_allclose(got[0], 1)
    np.testing.assert_allclose(got[2, 2], 0, atol=1e-12)
    np.testing.assert_allclose(got[1, 2], 1 if distance == "pearson" else got[2, 1])


@pytest.mark.parametrize("ties", ["expected", "worst"])
@given(st.integers(2, 9), st.integers(2, 30), st.integers(0, 99))
def test_ranks(ties, p, n_values, seed) -> None:
    """Few distinct values, so that there are ties."""
    d = np.random.default_rng(seed).integers(0, n_values, (p, p)).astype(float)
    for got, want in zip(ranks(d, ties=ties), by_the_paper(d, ties), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


@given(st.integers(2, 8), st.integers(0, 99))
def test_permutations_scale_and_small_noise_change_nothing(p, seed) -> None:
    rng = np.random.default_rng(seed)
    d = rng.random((p, p))
    order = rng.permutation(p)
    for got, want in zip(ranks(d[np.ix_(order, order)]), ranks(d), strict=True):
        np.testing.assert_array_equal(got, want[order])
    for got, want in zip(ranks(7 * d), ranks(d), strict=True):
        np.testing.assert_array_equal(got, want)
    same = np.ones((p, p)) + rng.normal(0, 1e-8, (p, p))  # a collapsed float32 network
    for got in ranks(same):
        np.testing.assert_array_equal(got, 0.5)


def test_extremes() -> None:
    best = 1 - np.eye(5)
    worst = np.eye(5)
    for ties in ("expected", "worst"):
        for d, want in ((best, 0), (worst, 1)):
            np.testing.assert_array_equal(ranks(d, ties=ties), np.full((2, 5), want))
    for alone in ranks(np.ones((1, 1))):
        assert np.isnan(alone).tolist() == [True]


@pytest.mark.parametrize("distance", PAIRWISE)
def test_random_predictions_rank_one_half(distance, rng) -> None:
    """On average, within five standard errors (conditions of one matrix hang together)."""
    means = []
    for _ in range(200):
        a, b = rng.normal(size=(2, 12, 6))
        means.append([r.mean() for r in ranks(PAIRWISE[distance](a, b))])
    error = np.std(means, axis=0) / np.sqrt(len(means))
    assert (np.abs(np.mean(means, axis=0) - 0.5) < 5 * error).all()
