"""Average precision against its definition, and against copairs."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist
from tests.ev import copairs_peer

from pertscope.ev._average_precision import (
    Queries,
    average_precision,
    expected_average_precision,
)

CONTROL = "c"


def of_labels(perturbation: np.ndarray, different: np.ndarray | None = None) -> Queries:
    names = [p for p in np.unique(perturbation) if p != CONTROL]
    members = [np.flatnonzero(perturbation == p) for p in names]
    if different is None:
        different = np.empty((len(perturbation), 0), np.int64)
    start = np.append(0, np.cumsum([len(m) for m in members]))
    return Queries(np.concatenate(members), start, different)


def against_controls(x, perturbation, batch=None, different=None, **options):
    """One value per row, NaN for controls."""
    batch = np.zeros(len(x), int) if batch is None else batch
    queries = of_labels(perturbation, different)
    asked = batch[queries.members]
    candidates = [
        (np.flatnonzero(asked == b), np.flatnonzero((perturbation == CONTROL) & (batch == b)))
        for b in np.unique(asked)
    ]
    found = average_precision(x, queries, candidates, **options)
    values = np.full((3, len(x)), np.nan)
    values[:, queries.members] = found.value, found.n_positives, found.n_negatives
    return values


def over_all_orders(similarity: np.ndarray, is_positive: np.ndarray) -> float:
    """Mean of the average precision over every order that sorts the similarities."""
    values = []
    for order in permutations(range(len(similarity))):
        if np.all(np.diff(similarity[list(order)]) <= 0):
            hits = is_positive[list(order)]
            precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            values.append(precision[hits].mean())
    return float(np.mean(values))


@given(
    values=hnp.arrays(np.int64, st.integers(4, 7), elements=st.integers(0, 3)),
    n_positives=st.integers(1, 3),
)
def test_ties_are_the_mean_over_all_orders(values, n_positives) -> None:
    x = np.append(0, values)[:, None].astype(float)
    labels = np.array(["a"] * (1 + n_positives) + [CONTROL] * (len(values) - n_positives))
    value, m, n = against_controls(x, labels, metric="euclidean")[:, 0]
    assert (m, n) == (n_positives, len(values) - n_positives)
    expected = over_all_orders(-values, np.arange(len(values)) < n_positives)
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "correlation", "euclidean"])
def test_against_sklearn(rng, metric) -> None:
    from sklearn.metrics import average_precision_score

    x = rng.normal(size=(60, 7)) + 3 * rng.normal(size=7)
    labels = rng.choice([CONTROL, "a", "b", "d"], 60)
    batch = rng.integers(0, 2, 60)
    value, n_positives, _ = against_controls(x, labels, batch, metric=metric)
    distance = cdist(x, x, metric)
    for i in np.flatnonzero(labels != CONTROL):
        positive = (labels == labels[i]) & (np.arange(60) != i)
        ranked = positive | ((labels == CONTROL) & (batch == batch[i]))
        expected = average_precision_score(positive[ranked], -distance[i, ranked])
        assert value[i] == pytest.approx(expected, abs=1e-12)
        assert n_positives[i] == positive.sum()


def test_all_alike_scores_as_random_ranks_do() -> None:
    labels = np.array(["a"] * 4 + [CONTROL] * 9)
    value = against_controls(np.ones((13, 3)), labels)[0, :4]
    np.testing.assert_allclose(value, expected_average_precision(3, 9))
    rng = np.random.default_rng(0)
    drawn = [against_controls(rng.normal(size=(13, 5)), labels)[0, 0] for _ in range(3000)]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert abs(np.mean(drawn) - expected_average_precision(3, 9)) < 4 * error


@settings(max_examples=40)
@given(data=st.data(), metric=st.sampled_from(["cosine", "euclidean"]))
def test_copairs_with_ties(data, metric) -> None:
    # corners of a cube: products, and norms of 2, are exact, so that copairs sees the ties as well
    corners = hnp.arrays(np.int8, (data.draw(st.integers(6, 16)), 4), elements=st.booleans())
    x = 2.0 * data.draw(corners) - 1
    labels = data.draw(hnp.arrays("U1", len(x), elements=st.sampled_from([CONTROL, "a", "b"])))
    labels[:3] = CONTROL, "a", "a"
    batch = np.zeros(len(x), int)
    found = against_controls(x, labels, batch, metric=metric, positives_first=True)
    peer = copairs_peer.activity(x, labels, batch, control=CONTROL, metric=metric)
    peer = peer[peer["n_pos_pairs"] > 0]
    rows = peer.index.to_numpy()
    np.testing.assert_array_equal(np.flatnonzero(found[1] > 0), rows)
    np.testing.assert_allclose(found[0, rows], peer["average_precision"], atol=1e-6)
    np.testing.assert_array_equal(found[1, rows], peer["n_pos_pairs"])
    np.testing.assert_array_equal(found[1:, rows].sum(axis=0), peer["n_total_pairs"])


@pytest.mark.parametrize("metric", ["cosine", "correlation", "euclidean"])
def test_copairs_with_other_wells(rng, metric) -> None:
    x = rng.normal(size=(50, 6))
    labels = rng.choice([CONTROL, "a", "b", "d"], 50)
    batch, well = rng.integers(0, 2, 50), rng.integers(0, 4, 50)
    found = against_controls(x, labels, batch, well[:, None], metric=metric)
    peer = copairs_peer.activity(
        x, labels, batch, control=CONTROL, metric=metric, different={"well": well}
    )
    rows = peer.index.to_numpy()
    np.testing.assert_allclose(found[0, rows], peer["average_precision"], atol=1e-6)
    expected = expected_average_precision(found[1], found[2])
    normalised = (found[0] - expected) / (1 - expected)
    np.testing.assert_allclose(normalised[rows], peer["normalized_average_precision"], atol=1e-6)


def test_edges_are_counted_not_guessed() -> None:
    x = np.array([[1.0, 0], [1, 0], [1, 0], [0, 0]])
    labels = np.array(["a", "a", CONTROL, "b"])
    value, n_positives, n_negatives = against_controls(x, labels)
    # one positive, one control, tied: (1 + 1/2) / 2
    np.testing.assert_allclose(value, [0.75, 0.75, np.nan, np.nan])
    np.testing.assert_array_equal(n_positives, [1, 1, np.nan, 0])
    np.testing.assert_array_equal(n_negatives, [1, 1, np.nan, 1])
    assert expected_average_precision(2, 0) == 1


def test_blocks_and_threads_change_nothing(rng, monkeypatch) -> None:
    import numba

    x, labels = rng.normal(size=(70, 5)), rng.choice([CONTROL, "a", "b"], 70)
    whole = against_controls(x, labels)
    monkeypatch.setattr("pertscope.ev._average_precision.BLOCK", 50)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        np.testing.assert_allclose(against_controls(x, labels), whole, rtol=1e-14)
    finally:
        numba.set_num_threads(before)


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match="`metric`='dot' must be one of 'cosine'"):
        against_controls(np.ones((3, 2)), np.array(["a", "a", CONTROL]), metric="dot")
