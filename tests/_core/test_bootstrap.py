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


@pytest.mark.parametrize("n", [40, 2500])
def test_interval_against_scipy(n, rng) -> None:
    values = rng.gamma(2, size=n)
    mean, low, high, count = bootstrap_interval(values, confidence=0.9, seed=3)
    assert mean == values.mean()
    assert count == n
    want = stats.bootstrap(
        (values,), np.mean, confidence_level=0.9, n_resamples=N_RESAMPLES, method="percentile",
        rng=np.random.default_rng(0), batch=200,
    ).confidence_interval  # fmt: skip
    tolerance = 0.15 * (want.high - want.low)
    assert low == pytest.approx(want.low, abs=tolerance)
    assert high == pytest.approx(want.high, abs=tolerance)


def test_seeds(rng) -> None:
    values = rng.normal(size=30)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
