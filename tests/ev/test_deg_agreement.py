"""Agreement on differentially expressed genes: by hand, in sets and against SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pertscope.ev._deg_agreement import (
    count_spearman,
    deg_recall,
    direction_match,
    fold_change,
    fold_spearman,
    is_significant,
    rank_genes,
    significant_recall,
    top_overlap,
)

NAN = np.nan


def by_sets(p_key, o_key, p_sig, o_sig, k, denominator) -> float:
    """cell-eval's overlap for one condition, in sets; earlier genes first among the tied."""
    p, o = (
        sorted(np.flatnonzero(sig), key=lambda j: -key[j])
        for key, sig in ((p_key, p_sig), (o_key, o_sig))
    )
    n = len(o if denominator == "observed" else p)
    top = n if k is None else min(n, k)
    return len(set(p[:top]) & set(o[:top])) / top if top else NAN


def random_case(seed: int, n_genes: int, n_values: int):
    """Two conditions with ties, infinite keys and few or no significant genes."""
    rng = np.random.default_rng(seed)
    key = rng.integers(0, n_values, (2, 2, n_genes)).astype(float)
    key[rng.random(key.shape) < 0.2] = np.inf
    return key, rng.random(key.shape) < rng.choice([0.0, 0.3, 1.0], (2, 2, 1))


@pytest.mark.parametrize("denominator", ["observed", "predicted"])
@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 20), st.sampled_from([None, 1, 3]))
def test_top_overlap_of_the_first(denominator, seed, n_genes, n_values, k) -> None:
    key, sig = random_case(seed, n_genes, n_values)
    orders = [rank_genes(key[side], sig[side], ties="first") for side in (0, 1)]
    got = top_overlap(*orders, k, denominator=denominator)
    want = [by_sets(key[0, c], key[1, c], sig[0, c], sig[1, c], k, denominator) for c in (0, 1)]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    zero = top_overlap(*orders, k, denominator=denominator, empty=0)
    np.testing.assert_array_equal(zero, np.nan_to_num(got))


@given(st.integers(0, 999), st.integers(1, 4), st.sampled_from([None, 1, 2]))
def test_top_overlap_expected(seed, n_genes, k) -> None:
    """Ties count by their mean over all orders of the genes, on each side alone."""
    key, sig = random_case(seed, n_genes, 2)
    got = top_overlap(*(rank_genes(key[s], sig[s]) for s in (0, 1)), k)
    orders = [list(order) for order in itertools.permutations(range(n_genes))]
    every = []
    for first, second in itertools.product(orders, orders):
        sides = []
        for s, order in ((0, first), (1, second)):
            o = rank_genes(key[s][:, order], sig[s][:, order], ties="first")
            back = np.argsort(order)
            sides.append(type(o)(o.first[:, back], o.last[:, back], o.number))
        every.append(top_overlap(*sides, k))
    np.testing.assert_allclose(got, np.mean(every, axis=0), atol=1e-12)


def test_top_overlap_by_hand() -> None:
    predicted = np.array([[9.0, 8, 7, 1, 0]])
    observed = np.array([[1.0, 9, np.inf, 7, 8]])
    every, some = np.ones((1, 5), bool), np.array([[True, True, True, False, False]])
    p, o = rank_genes(predicted, some), rank_genes(observed, every)
    # predicted 0 1 2; observed 2 1 4 3 0
    wanted = {None: (1.0, 3 / 5), 1: (0.0, 0.0), 2: (1 / 2, 1 / 2), 3: (2 / 3, 2 / 3), 9: (1, 0.6)}
    for k, (precision, overlap) in wanted.items():
        want = 2 / 3 if k in (None, 9) else precision
        assert top_overlap(p, o, k, denominator="predicted") == pytest.approx(want)
        assert top_overlap(p, o, k) == pytest.approx(overlap)
    nothing = rank_genes(predicted, ~every)
    assert top_overlap(nothing, o) == 0
    assert np.isnan(top_overlap(p, nothing)).all()
    assert np.isnan(top_overlap(nothing, o, denominator="predicted")).all()


def test_deg_recall() -> None:
    predicted = np.array([[-5.0, 4, 3, 0, 0], [0, 0, 0, 0, 0]])
    observed = np.array([[9.0, 0, -8, 1, NAN], [5, 4, 3, 2, 1]])
    np.testing.assert_allclose(deg_recall(predicted, observed, 2), [1 / 2, 2 / 5])
    np.testing.assert_allclose(deg_recall(predicted, observed, 5), 1)
    for k in (0, 6):
        with pytest.raises(ValueError, match=f"`k`={k} must be from 1 to 5"):
            deg_recall(predicted, observed, k)


def test_refusals() -> None:
    key, every = np.ones((1, 3)), np.ones((1, 3), bool)
    order = rank_genes(key, every)
    with pytest.raises(ValueError, match="`ties`='random' must be one of"):
        rank_genes(key, every, ties="random")
    with pytest.raises(ValueError, match=r"`key` is \(1, 3\), `among` \(1, 2\)"):
        rank_genes(key, every[:, :2])
    with pytest.raises(ValueError, match="`k`=0 must be at least 1"):
        top_overlap(order, order, 0)
    with pytest.raises(ValueError, match="`denominator`='union' must be one of"):
        top_overlap(order, order, denominator="union")
    with pytest.raises(ValueError, match="`compat`='x' must be None or 'cell-eval'"):
        count_spearman(key[0], key[0], compat="x")


def test_fold_change() -> None:
    mean = np.log1p([[4.0, 0, 1, 0, 2]])
    control = np.log1p([1.0, 0, 0, 3, 2])
    want = [[2, 0, np.inf, -np.inf, 0]]
    np.testing.assert_allclose(fold_change(mean, control), want, atol=1e-12)
    np.testing.assert_array_equal(fold_change(-mean, control), fold_change(0 * mean, control))


def test_significance_in_float32() -> None:
    p = np.array([[0.05 - 1e-12, 0.0499, 0.05, 0.06, NAN]])
    assert is_significant(p).tolist() == [[True, True, False, False, False]]
    assert is_significant(p, single=True).tolist() == [[False, True, False, False, False]]
    assert is_significant(p, 0.055).sum() == 3


def test_direction_and_recall_by_hand() -> None:
    predicted = np.array([[1.0, -1, 0, NAN, np.inf], [1, 1, 1, 1, 1]])
    observed = np.array([[2.0, 3, 0, 1, 5], [1, 1, 1, 1, 1]])
    sig = np.array([[True] * 5, [False] * 5])
    np.testing.assert_allclose(direction_match(predicted, observed, sig), [3 / 5, NAN])
    found = np.array([[True, False, False, False, True], [True] * 5])
    np.testing.assert_allclose(significant_recall(found, sig), [2 / 5, NAN])
    np.testing.assert_allclose(significant_recall(sig, found), [1, 0])


@given(st.integers(0, 999), st.integers(1, 15), st.integers(1, 20))
def test_fold_spearman(seed, n_genes, n_values) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-n_values, n_values, (2, 3, n_genes)).astype(float)
    a[rng.random(a.shape) < 0.2] = np.inf
    b[rng.random(b.shape) < 0.2] = -np.inf
    a[rng.random(a.shape) < 0.1] = NAN
    sig = rng.random(a.shape) < 0.7
    got = fold_spearman(a, b, sig)
    for c in range(3):
        x, y = np.nan_to_num(a[c, sig[c]], posinf=99, neginf=-99), b[c, sig[c]]
        constant = len(x) < 2 or np.ptp(x) == 0 or len(np.unique(y)) == 1
        want = NAN if constant else spearmanr(x, np.nan_to_num(y, neginf=-99)).statistic
        np.testing.assert_allclose(got[c], want, atol=1e-12)


def test_count_spearman() -> None:
    predicted, observed = np.array([3, 0, 9, 5]), np.array([0, 1, 7, 2])
    assert count_spearman(predicted, observed) == pytest.approx(
        spearmanr(predicted, observed).statistic
    )
    assert count_spearman(predicted, observed, compat="cell-eval") == pytest.approx(1)
    none = np.zeros(4)
    assert np.isnan(count_spearman(predicted, none))
    assert count_spearman(predicted, none, compat="cell-eval") == 1
    assert np.isnan(count_spearman(predicted, np.array([0, 0, 0, 1]), compat="cell-eval"))


def test_missing_keys_and_folds() -> None:
    """A NaN key comes last of those that take part; an observed NaN fold is not judged."""
    key = np.array([[1, NAN, 2, NAN]])
    among = np.array([[False, True, True, True]])
    order = rank_genes(key, among)
    assert order.in_top(np.array([1])).tolist() == [[0, 0, 1, 0]]
    assert order.in_top(np.array([2])).tolist() == [[0, 0.5, 1, 0.5]]
    predicted, observed = np.array([[1.0, 2, 9, 3]]), np.array([[1, 2, NAN, 3.0]])
    assert fold_spearman(predicted, observed, np.ones((1, 4), bool)) == pytest.approx(1)
