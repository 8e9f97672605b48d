from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pertscope._core.bootstrap import N_RESAMPLES, bootstrap_interval


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (np.nan, np.nan, np.nan, 0)),
        ([np.nan], (np.nan, np.nan, np.nan, 0)),
        ([np.nan, 3.0], (3.0, np.nan, np.nan, 1)),
        ([2.0, 2.0, np.nan, 2.0], (2.0, 2.0, 2.0, 3)),
    ],
)
def test_few_values(values, expected) -> None:
    np.testing.assert_equal(bootstrap_interval(np.array(values, dtype=float)), expected)


def expanded(confidence: float, n: int) -> float:
    """Level of the plain percentile interval that is as wide as Student's t of n values."""
    wide = np.sqrt(n / (n - 1)) * stats.t.ppf((1 + confidence) / 2, n - 1)
    return 1 - 2 * stats.norm.sf(wide)


@pytest.mark.parametrize("n", [8, 40, 2500])
def test_interval_against_scipy(n, rng) -> None:
    values = rng.gamma(2, size=n)
    mean, low, high, count = bootstrap_interval(values, confidence=0.9, seed=3)
    assert mean == values.mean()
    assert count == n
    want = stats.bootstrap(
        (values,), np.mean, n_resamples=N_RESAMPLES, method="percentile",
        confidence_level=expanded(0.9, n),
        rng=np.random.default_rng(0), batch=200,
    ).confidence_interval  # fmt: skip
    tolerance = 0.15 * (want.high - want.low)
    assert low == pytest.approx(want.low, abs=tolerance)
    assert high == pytest.approx(want.high, abs=tolerance)


def test_seeds(rng) -> None:
    values = rng.normal(size=30)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


@pytest.mark.parametrize("n", [8, 10, 30])
def test_coverage(n, rng) -> None:
    """Of normal values, as the level says: plain percentiles have .88 at n = 10."""
    covered = 0
    for i in range(400):
        _, low, high, _ = bootstrap_interval(rng.normal(size=n), seed=i)
        covered += low <= 0 <= high
    assert covered / 400 == pytest.approx(0.95, abs=0.035)
