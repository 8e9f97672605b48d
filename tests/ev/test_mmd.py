"""MMD against scikit-learn's kernels."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel
from tests.ev.populations import KINDS, two_populations

from pertscope.ev import _mmd, _pairs
from pertscope.ev._mmd import GAMMAS, mmd_linear, mmd_rbf


def by_kernel(x, y, kernel, unbiased: bool = False, **options) -> float:
    def within(a):
        k = kernel(a, a, **options)
        n = len(a)
        return (k.sum() - np.trace(k)) / (n * (n - 1)) if unbiased else k.mean()

    return within(x) + within(y) - 2 * kernel(x, y, **options).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_linear(kind, rng) -> None:
    x, y = two_populations(rng)
    got = mmd_linear(KINDS[kind](x), KINDS[kind](y))
    assert got == pytest.approx(by_kernel(x, y, linear_kernel), rel=1e-10)


@pytest.mark.parametrize("tile", [7, 512])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_rbf(kind, unbiased, tile, rng, monkeypatch) -> None:
    monkeypatch.setattr(_pairs, "TILE", tile)
    x, y = two_populations(rng)
    a, b = KINDS[kind](x), KINDS[kind](y)
    each = [by_kernel(x, y, rbf_kernel, unbiased, gamma=g) for g in GAMMAS]
    assert mmd_rbf(a, b, unbiased=unbiased) == pytest.approx(np.mean(each), rel=1e-9)
    one = mmd_rbf(a, b, gammas=[0.3], unbiased=unbiased)
    assert one == pytest.approx(by_kernel(x, y, rbf_kernel, unbiased, gamma=0.3), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_median(kind, rng) -> None:
    x, y = two_populations(rng)
    gamma = 1 / (2 * np.median(pdist(np.vstack([x, y]))) ** 2)
    want = by_kernel(x, y, rbf_kernel, gamma=gamma)
    for other in (KINDS[kind](y), y):
        assert mmd_rbf(KINDS[kind](x), other, gammas="median") == pytest.approx(want, rel=1e-9)


def test_median_of_many_cells_looks_at_some_of_each_population(rng, monkeypatch) -> None:
    monkeypatch.setattr(_mmd, "MEDIAN_CELLS", 100)
    x, y = rng.normal(size=(900, 4)), rng.normal(size=(300, 4)) + 3
    rows = np.linspace(0, 1199, 100).astype(int)
    assert np.count_nonzero(rows < 900) == 75
    gamma = 1 / (2 * np.median(pdist(np.vstack([x, y])[rows])) ** 2)
    got = mmd_rbf(x, y, gammas="median")
    assert got == pytest.approx(by_kernel(x, y, rbf_kernel, gamma=gamma), rel=1e-9)


values = st.integers(-3, 3).map(float) | st.floats(-50, 50, allow_subnormal=False)
cells = hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(3)), elements=values)


@settings(max_examples=60)
@given(x=cells, y=cells)
def test_properties(x, y) -> None:
    got = mmd_rbf(x, y)
    assert 0 <= got <= 2
    assert got == pytest.approx(mmd_rbf(y, x), abs=1e-9)
    assert got == pytest.approx(np.mean([by_kernel(x, y, rbf_kernel, gamma=g) for g in GAMMAS]))
    assert mmd_rbf(x, x) == pytest.approx(0, abs=1e-9)


def test_single_cells_have_no_unbiased_estimate(rng) -> None:
    x, y = two_populations(rng)
    assert np.isnan(mmd_rbf(x[:1], y, unbiased=True))
    assert np.isfinite(mmd_rbf(x[:1], y))


def test_refusals(rng) -> None:
    x, y = two_populations(rng)
    for gammas in ([], [1, -1], [np.nan], 0.5):
        with pytest.raises(ValueError, match="one or more positive numbers"):
            mmd_rbf(x, y, gammas=gammas)
    with pytest.raises(ValueError, match="'mean' must be numbers or 'median'"):
        mmd_rbf(x, y, gammas="mean")
    same = np.full((9, 3), 0.1)
    same[0] = 5
    for kind in (np.asarray, sp.csr_matrix):
        with pytest.raises(ValueError, match="the median distance is 0"):
            mmd_rbf(kind(same), kind(same[1:]), gammas="median")
    with pytest.raises(ValueError, match="`y` holds no cells"):
        mmd_rbf(x, y[:0])
