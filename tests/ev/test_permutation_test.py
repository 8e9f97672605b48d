"""The E-test: statistics by formula, p values by enumeration, uniform under the null."""

from __future__ import annotations

from itertools import combinations

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

from pertscope.ev import _permutation_kernels as kernels
from pertscope.ev._energy import METRICS, energy_distance
from pertscope.ev._permutation_test import e_test


def energy(d: np.ndarray, chosen: np.ndarray, unbiased: bool) -> float:
    """By formula from the distances of the pooled cells."""
    a, b = d[np.ix_(chosen, chosen)], d[np.ix_(~chosen, ~chosen)]
    off = int(unbiased)
    within = sum(w.sum() / (len(w) * (len(w) - off)) for w in (a, b))
    return 2 * d[np.ix_(chosen, ~chosen)].mean() - within


def enumerated(x, group, reference, metric: str, unbiased: bool) -> float:
    """Share of all relabellings whose energy is at least the observed one."""
    rows = np.concatenate([group, reference])
    d = cdist(x[rows], x[rows], metric)
    n, total = len(group), len(rows)
    found = []
    for chosen in combinations(range(total), n):
        mask = np.isin(np.arange(total), chosen)
        found.append(energy(d, mask, unbiased))
    return float(np.mean(np.array(found) >= found[0] - 1e-9 * d.mean()))


def screen(rng, sizes=(20, 7, 30), m: int = 25, d: int = 4, shift: float = 0.3):
    """Cells in mixed order, rows of the groups, rows of the reference."""
    n = m + sum(sizes)
    x = rng.normal(size=(n, d)) + 50
    parts = np.split(rng.permutation(n), np.cumsum([m, *sizes])[:-1])
    for i, rows in enumerate(parts[1:]):
        x[rows] += shift * i
    return x, parts[1:], parts[0]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("unbiased", [False, True])
def test_statistic_is_the_energy_distance(metric, unbiased, rng) -> None:
    x, groups, reference = screen(rng)
    got, _ = e_test(x, groups, reference, metric=metric, unbiased=unbiased, n_permutations=1)
    options = {"metric": metric, "unbiased": unbiased}
    want = [energy_distance(x[g], x[reference], **options) for g in groups]
    np.testing.assert_allclose(got, want, rtol=1e-5 if metric == "euclidean" else 1e-9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("sizes", [(3, 6), (6, 3), (4, 4)])
def test_p_value_against_all_relabellings(sizes, unbiased, metric, rng) -> None:
    """Also on integers, where many relabellings tie."""
    n, m = sizes
    for x in (rng.normal(size=(n + m, 2)), rng.integers(0, 3, (n + m, 2)).astype(float)):
        group, reference = np.arange(n), np.arange(n, n + m)
        x[group] += 1
        want = enumerated(x, group, reference, metric, unbiased)
        _, (got,) = e_test(
            x, [group], reference, metric=metric, unbiased=unbiased, n_permutations=20_000
        )
        error = np.sqrt(want * (1 - want) / 20_000)
        assert abs(got - want) < 5 * error + 1e-4


@pytest.mark.parametrize("metric", METRICS)
def test_p_values_are_uniform_under_the_null(metric, rng) -> None:
    """Groups share the reference, which a large one makes negligible."""
    x = rng.normal(size=(3000 + 400 * 5, 3))
    groups = np.arange(3000, len(x)).reshape(400, 5)
    _, p = e_test(x, list(groups), np.arange(3000), metric=metric, n_permutations=199)
    assert stats.kstest(p, "uniform").pvalue > 0.001
    assert 0.02 < np.mean(p <= 0.05) < 0.09


@pytest.mark.parametrize("metric", METRICS)
def test_a_different_group_has_the_least_p_value(metric, rng) -> None:
    x, groups, reference = screen(rng, shift=5)
    statistic, p = e_test(x, groups, reference, metric=metric, n_permutations=99)
    assert p[0] > 0.01
    np.testing.assert_array_equal(p[1:], 0.01)
    assert statistic[2] > statistic[1] > statistic[0]


@pytest.mark.parametrize("metric", METRICS)
def test_equal_cells_tie(metric) -> None:
    x = np.full((30, 3), 0.1)
    statistic, p = e_test(x, [np.arange(9)], np.arange(9, 30), metric=metric, n_permutations=50)
    assert (statistic[0], p[0]) == (0, 1)
    x[::2] += 1 / 3  # half of each side: every relabelling is as far apart, or farther
    groups = [np.arange(10)]
    statistic, p = e_test(x, groups, np.arange(10, 30), metric=metric, n_permutations=500)
    assert statistic[0] == pytest.approx(0, abs=1e-9)
    assert p[0] == 1


@pytest.mark.parametrize("metric", METRICS)
def test_same_bytes_for_any_number_of_threads(metric, rng) -> None:
    x, groups, reference = screen(rng)
    threads = numba.get_num_threads()
    results = []
    try:
        for n in {1, threads}:
            numba.set_num_threads(n)
            results.append(e_test(x, groups, reference, metric=metric, n_permutations=77))
    finally:
        numba.set_num_threads(threads)
    assert all(
        a.tobytes() == b.tobytes() for r in results for a, b in zip(r, results[0], strict=True)
    )
    _, other = e_test(x, groups, reference, metric=metric, n_permutations=77, seed=1)
    assert (other != results[0][1]).any()


def test_groups_draw_independently_and_from_first_to_last(rng) -> None:
    x, groups, reference = screen(rng)
    _, p = e_test(x, [groups[0], groups[0], groups[1]], reference, n_permutations=999)
    assert p[0] != p[1]
    _, alone = e_test(x, [groups[0]], reference, n_permutations=999)
    assert alone[0] == p[0]


@settings(max_examples=30)
@given(n=st.integers(1, 40), data=st.data())
def test_draws_are_distinct_and_leave_the_order(n, data) -> None:
    size = data.draw(st.integers(1, n))
    order, swaps, chosen = np.arange(n), np.empty(size, int), np.empty(size, int)
    kernels._choose(np.uint64(data.draw(st.integers(0, 2**64 - 1))), order, swaps, chosen)
    np.testing.assert_array_equal(order, np.arange(n))
    assert len(set(chosen.tolist())) == size
    assert set(chosen.tolist()) <= set(range(n))


def test_draws_are_uniform_over_subsets() -> None:
    order, swaps, chosen = np.arange(6), np.empty(3, int), np.empty(3, int)
    counts = dict.fromkeys(combinations(range(6), 3), 0)
    key = np.random.SeedSequence(0).generate_state(1, np.uint64)[0]
    for permutation in range(1, 4001):
        kernels._next_subset(permutation, key, 0, order, swaps, chosen)
        counts[tuple(sorted(chosen.tolist()))] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def test_single_cells(rng) -> None:
    x, groups, reference = screen(rng, sizes=(1, 8))
    statistic, p = e_test(x, groups, reference, n_permutations=9)
    assert np.isfinite([statistic, p]).all()
    for result in e_test(x, groups, reference, n_permutations=9, unbiased=True):
        assert np.isnan(result).tolist() == [True, False]
    for result in e_test(x, [reference], groups[0], n_permutations=9, unbiased=True):
        assert np.isnan(result).all()


@pytest.mark.parametrize("metric", METRICS)
def test_real_screen(devel, metric) -> None:
    """Perturbations stand out of the controls, random halves of the controls do not."""
    from sklearn.decomposition import PCA

    labels = devel.obs["condition"].to_numpy().astype(str)
    x = PCA(20, random_state=0).fit_transform(devel.X.toarray())
    controls = np.random.default_rng(0).permutation(np.flatnonzero(labels == "control"))
    reference, *null = np.array_split(controls, 4)
    names = [n for n in np.unique(labels) if n != "control"][:10]
    groups = [np.flatnonzero(labels == n) for n in names]
    _, p = e_test(x, [*null, *groups], reference, metric=metric, n_permutations=199)
    assert p[:3].min() > 0.005
    assert np.median(p[3:]) < p[:3].min()


def test_refusals(rng) -> None:
    x, groups, reference = screen(rng)
    with pytest.raises(ValueError, match="'cosine' must be one of 'euclidean'"):
        e_test(x, groups, reference, metric="cosine")
    with pytest.raises(ValueError, match="`n_permutations`=0 must be at least 1"):
        e_test(x, groups, reference, n_permutations=0)
    with pytest.raises(TypeError, match="`x` is sparse"):
        e_test(sp.csr_matrix(x), groups, reference)
    with pytest.raises(ValueError, match=r"`groups\[1\]` must be .* at least one row"):
        e_test(x, [groups[0], groups[1][:0]], reference)
    with pytest.raises(TypeError, match="`reference` must hold row numbers, not bool"):
        e_test(x, groups, np.ones(len(x), bool))
    with pytest.raises(ValueError, match=r"`groups\[0\]` reaches from row 0 to 999"):
        e_test(x, [np.array([0, 999])], reference)
    with pytest.raises(ValueError, match=r"`groups\[0\]` shares cells with `reference`"):
        e_test(x, [reference], reference)
    with pytest.raises(ValueError, match=r"`groups\[0\]` names a row twice"):
        e_test(x, [groups[0][[0, 0]]], reference)
    x[groups[2][0], 0] = np.nan
    with pytest.raises(ValueError, match=r"`x\[groups\[2\]\]` holds NaN"):
        e_test(x, groups, reference)
