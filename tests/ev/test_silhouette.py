"""Silhouettes and neighbour weights of odd data against scikit-learn and definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist

from pertscope.ev import _silhouette, _silhouette_sums
from pertscope.ev._graph_connectivity import graph_connectivity
from pertscope.ev._kbet import kbet
from pertscope.ev._lisi import lisi, neighbor_weights
from pertscope.ev._pcr import explained_by_batch
from pertscope.ev._silhouette import batch_silhouettes, silhouettes

POINTS = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=25),
    elements=st.sampled_from([-2.0, 0.0, 0.25, 1.0, 7.0]),
)


def oracle(d: np.ndarray, codes: np.ndarray, other: str) -> np.ndarray:
    """Silhouettes from all distances, point by point."""
    found = np.zeros(len(d))
    for i, own in enumerate(codes):
        mine = (codes == own) & (np.arange(len(d)) != i)
        if not mine.any() or (codes == own).all():
            continue
        a = d[i, mine].mean()
        means = [d[i, codes == c].mean() for c in np.unique(codes) if c != own]
        b = {"nearest": min(means), "furthest": max(means), "mean": d[i, codes != own].mean()}[
            other
        ]
        found[i] = (b - a) / max(a, b) if max(a, b) > 1e-12 else 0
    return found


@given(x=POINTS, data=st.data(), other=st.sampled_from(["nearest", "furthest", "mean"]))
def test_euclidean(x, data, other) -> None:
    codes = data.draw(hnp.arrays(np.int64, len(x), elements=st.integers(0, 3)))
    got = silhouettes(x, codes, other=other)
    np.testing.assert_allclose(got, oracle(cdist(x, x), codes, other), atol=1e-6)


@given(x=POINTS, data=st.data())
def test_cosine(x, data) -> None:
    x = x + 0.5  # no row of zeros
    codes = data.draw(hnp.arrays(np.int64, len(x), elements=st.integers(0, 2)))
    x[np.abs(x).sum(axis=1) == 0] = 1
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    d = cdist(unit, unit, "sqeuclidean") / 2
    got = silhouettes(x, codes, metric="cosine", other="mean")
    want = oracle(d, codes, "mean")
    clear = d.max(axis=1) > 1e-9  # elsewhere both means are nothing but rounding
    np.testing.assert_allclose(got[clear], want[clear], atol=1e-6)


@pytest.mark.parametrize("size", [1, 1e-25, 1e30])
@pytest.mark.parametrize("shift", [0, 1e4])
def test_blocks_shifts_and_sizes(rng, monkeypatch, size, shift) -> None:
    from sklearn.metrics import silhouette_samples

    monkeypatch.setattr(_silhouette, "ROWS", 64)
    monkeypatch.setattr(_silhouette_sums, "COLUMNS", 48)
    codes = np.sort(rng.integers(5, size=400))[rng.permutation(400)]
    x = 3 * rng.normal(size=(5, 6))[codes] + rng.normal(size=(400, 6))
    x[:60], x[70] = x[0], x[71] + 1e-9
    want = silhouette_samples(x, codes)
    np.testing.assert_allclose(silhouettes((x + shift) * size, codes), want, atol=1e-6)


@pytest.mark.parametrize("other", ["nearest", "furthest"])
@pytest.mark.parametrize("apart", [0, 0.5, 3])
def test_labels_that_cannot_matter_are_left_out(rng, monkeypatch, apart, other) -> None:
    monkeypatch.setattr(_silhouette_sums, "COLUMNS", 48)  # more points than are looked at whole
    codes = np.repeat(np.arange(12), [3, 5, 19, *[70] * 9])
    shape = rng.normal(size=(12, 5, 5))  # labels of unlike covariances
    x = apart * rng.normal(size=(12, 5))[codes]
    x += np.einsum("ij,ijk->ik", rng.gamma(0.3, size=(len(codes), 5)), shape[codes])
    want = oracle(cdist(x, x), codes, other)
    np.testing.assert_allclose(silhouettes(x, codes, other=other), want, atol=1e-6)
    edges = np.append(0, np.cumsum(np.bincount(codes)))
    sums = _silhouette_sums.EuclideanSums(x, edges).sums(0, len(x), codes, other)
    assert np.isinf(sums).mean() > (0.75 if apart == 3 else 0.2)


def test_within_groups(rng) -> None:
    x, codes, within = rng.normal(size=(90, 4)), rng.integers(3, size=90), rng.integers(4, size=90)
    got = silhouettes(x, codes, within=within)
    for group in range(4):
        rows = within == group
        np.testing.assert_allclose(got[rows], silhouettes(x[rows], codes[rows]), atol=1e-7)


def test_labels_without_silhouettes_by_batch(rng) -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    batch = np.array([0, 0, 0, 0, 1, 0, 0, 1, 1])
    got = batch_silhouettes(rng.normal(size=(9, 2)), labels, batch)
    assert np.isnan(got).tolist() == [True, True, False]


@given(
    distances=hnp.arrays(np.float64, (3, 12), elements=st.floats(0, 1e8)),
    perplexity=st.integers(1, 12),
)
def test_weights_of_any_distances(distances, perplexity) -> None:
    distances.sort(axis=1)
    weights = neighbor_weights(distances, perplexity=perplexity)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (np.diff(weights, axis=1) <= 0).all()
    found = lisi(weights, np.tile(np.arange(12), (3, 1)), np.arange(12) % 3)
    assert (found >= 1 - 1e-9).all()
    assert (found <= 3 + 1e-9).all()


def test_entropy_of_weights(rng) -> None:
    weights = neighbor_weights(np.sort(rng.gamma(5, size=(50, 90)), axis=1), perplexity=30)
    entropy = -(weights * np.log(weights)).sum(axis=1)
    np.testing.assert_allclose(entropy, np.log(30), atol=1e-5)
    with pytest.raises(ValueError, match="between 1 and the 90 neighbours"):
        neighbor_weights(np.ones((2, 90)), perplexity=91)


def test_lisi_of_one_label_and_of_equal_ones() -> None:
    weights, indices = np.full((4, 4), 0.25), np.tile(np.arange(4), (4, 1))
    np.testing.assert_allclose(lisi(weights, indices, np.zeros(4, np.int64)), 1)
    np.testing.assert_allclose(lisi(weights, indices, np.array([0, 0, 1, 1])), 2)


def test_kbet_at_its_ends() -> None:
    batch = np.repeat([0, 1], 20)
    apart = np.tile(np.arange(10), (40, 1)) + np.repeat([0, 20], 20)[:, None]
    assert kbet(apart, batch) == 0
    mixed = np.tile([0, 1, 2, 3, 4, 20, 21, 22, 23, 24], (40, 1))
    assert kbet(mixed, batch) == 1


def test_connectivity_counts_components() -> None:
    indices = np.array([[1], [0], [3], [2], [5], [4], [0]])
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(graph_connectivity(indices, labels), [0.5, 1, 1])


def test_variance_that_batches_explain(rng) -> None:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LinearRegression

    x, batch = rng.normal(size=(80, 5)), rng.integers(3, size=80)
    x[:, 1] += batch
    x[:, 4] = 2  # constant
    pca = PCA(4).fit(x)
    pcs, one_hot = pca.transform(x), np.eye(3)[batch]
    r2 = [LinearRegression().fit(one_hot, pc).score(one_hot, pc) for pc in pcs.T]
    want = np.average(r2, weights=pca.explained_variance_)
    assert explained_by_batch(x, batch) == pytest.approx(want)
    assert explained_by_batch(np.ones((80, 2)), batch) == 0


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("other", ["nearest", "furthest", "mean"])
def test_points_that_are_all_the_same(metric, other, rng) -> None:
    """Rounding is no distance; squares of tiny numbers do not vanish."""
    x = np.tile(rng.normal(size=7), (300, 1))
    codes = np.repeat([0, 1, 2], 100)
    found = silhouettes(x, codes, other=other, metric=metric)
    np.testing.assert_array_equal(found, 0)
