"""Profiles of groups, against pycytominer and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from tests._core import pycytominer_peer

from pertscope._core.profiles import METHODS, aggregated, modz


@given(n=st.integers(1, 8), d=st.integers(3, 12), seed=st.integers(0, 99))
def test_modz_is_pycytominers(n, d, seed) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=d) + rng.normal(size=(n, d)).round(1)  # with ties
    want = pycytominer_peer.modz_base(pd.DataFrame(x), precision=12)
    np.testing.assert_allclose(modz(x), want, rtol=1e-9, atol=1e-9)


def test_modz_of_rows_that_do_not_agree() -> None:
    up = np.arange(5.0)
    np.testing.assert_allclose(modz(np.stack([up, -up])), 0)  # equal weights
    got = modz(np.stack([up, up + 1, -up]))
    weight = np.array([0.5, 0.5, 0.01]) / 1.01
    np.testing.assert_allclose(got, weight @ np.stack([up, up + 1, -up]))
    flat = np.stack([up, np.ones(5)])  # a row without variation
    np.testing.assert_allclose(modz(flat), flat.mean(axis=0))


@pytest.mark.parametrize("method", ["mean", "median"])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_mean_and_median_are_those_of_pandas(method, kind, rng) -> None:
    x = rng.poisson(1, (60, 4)).astype(np.float32)
    codes = rng.permutation(np.arange(60) % 7)
    want = pd.DataFrame(x.astype(np.float64)).groupby(codes).agg(method)
    np.testing.assert_allclose(aggregated(kind(x), codes, 7, method), want, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_missing_values_are_refused(method, rng) -> None:
    x = rng.normal(size=(6, 3))
    x[4, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        aggregated(x, np.repeat([0, 1], 3), 2, method)
