"""Labels of genes: by counting votes, and against scikit-learn's F1."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from pertscope._core.deg_labels import (
    LABELS,
    are_labels,
    deg_labels,
    macro_f1_per_condition,
    macro_f1_per_gene,
    majority_labels,
    most_frequent_labels,
    require_labels,
)


def test_deg_labels() -> None:
    score = np.array([[3.0, -3, 0, 3, np.nan, -np.inf, 2]])
    p_adjusted = np.array([[0.01, 0.01, 0.01, 0.05, 0.01, 0.0, np.nan]])
    got = deg_labels(score, p_adjusted)
    assert got.dtype == np.int8
    assert got.tolist() == [[1, -1, 0, 0, 0, -1, 0]]
    assert deg_labels(score, p_adjusted, 0.1).tolist() == [[1, -1, 0, 1, 0, -1, 0]]


def by_vote(votes: list[int]) -> int:
    counts = Counter(votes)
    top = {label for label, n in counts.items() if n == max(counts.values())}
    if {-1, 1} <= top:
        return 0
    return (top - {0} or {0}).pop()


@given(st.integers(0, 999), st.integers(1, 6))
def test_majority_labels(seed, n_batches) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, (n_batches, 3, 4)).astype(np.int8)
    valid = rng.random((n_batches, 3)) < 0.6
    valid[rng.integers(n_batches, size=3), np.arange(3)] = True
    got = majority_labels(labels, valid)
    assert got.dtype == np.int8
    want = [[by_vote(labels[valid[:, c], c, g].tolist()) for g in range(4)] for c in range(3)]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("votes", "label"),
    [((0, 1), 1), ((0, -1), -1), ((1, -1), 0), ((1, 0, -1), 0), ((1, 1, 0, 0), 1), ((1, 1, -1), 1)],
)
def test_ties_of_batches(votes, label) -> None:
    labels = np.array(votes, dtype=np.int8)[:, None, None]
    assert majority_labels(labels, np.ones((len(votes), 1), bool)) == label


def test_a_condition_without_a_batch_is_refused() -> None:
    valid = np.array([[True, False, False]])
    with pytest.raises(ValueError, match=r"2 condition\(s\), the first at 1, were tested in no"):
        majority_labels(np.zeros((1, 3, 2), np.int8), valid)


@given(st.integers(0, 999), st.integers(1, 6))
def test_most_frequent_labels(seed, p) -> None:
    labels = np.random.default_rng(seed).integers(-1, 2, (p, 4)).astype(np.int8)
    want = [by_vote(labels[:, g].tolist()) for g in range(4)]
    np.testing.assert_array_equal(most_frequent_labels(labels), want)


def test_labels_and_other_values() -> None:
    labels = np.array([[1.0, -1.0], [0.0, 0.0]])
    assert are_labels(labels)
    assert are_labels(labels[:0])
    require_labels(labels, "these")
    for bad in (0.5, 2.0, np.nan):
        assert not are_labels(np.array([[1.0, bad]]))
        with pytest.raises(ValueError, match=r"these must be labels, -1, 0 or 1.*`ps.tl.deg_lab"):
            require_labels(np.array([[1.0, bad]]), "these")


@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 12))
def test_macro_f1(seed, p, n_genes) -> None:
    """Over the labels that the truth has, one F1 each from scikit-learn."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet([0.5, 0.5, 0.5], 2)
    predicted, observed = (
        rng.choice(np.array(LABELS, np.int8), (p, n_genes), p=share[i]) for i in (0, 1)
    )

    def oracle(said, true) -> float:
        return float(f1_score(true, said, labels=np.unique(true), average="macro"))

    want = [oracle(predicted[:, g], observed[:, g]) for g in range(n_genes)]
    np.testing.assert_allclose(macro_f1_per_gene(predicted, observed), want, atol=1e-12)
    want = [oracle(predicted[c], observed[c]) for c in range(p)]
    np.testing.assert_allclose(macro_f1_per_condition(predicted, observed), want, atol=1e-12)


def test_macro_f1_by_hand() -> None:
    observed = np.array([[1, 0], [1, 0], [0, 0]], dtype=np.int8)
    predicted = np.array([[1, 0], [0, -1], [0, 0]], dtype=np.int8)
    # gene 0: up 2*1/(1+2) = 2/3, unchanged 2*1/(2+1) = 2/3; gene 1: unchanged 2*2/(2+3) = 4/5
    np.testing.assert_allclose(macro_f1_per_gene(predicted, observed), [2 / 3, 4 / 5])
    np.testing.assert_allclose(macro_f1_per_condition(predicted, observed), [1, 0, 1])
    assert np.isnan(macro_f1_per_gene(predicted[:0], observed[:0])).all()
    with pytest.raises(ValueError, match=r"`predicted` is \(2, 2\), `observed` \(3, 2\)"):
        macro_f1_per_gene(predicted[:2], observed)
