from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pertscope._core.statistics import effect, logfc

means = hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 25))


@given(mean=means, control=means)
def test_definitions(mean, control) -> None:
    assert np.array_equal(effect(mean, control), mean - control)
    ratio = logfc(mean, control)
    assert np.array_equal(ratio, -logfc(control, mean))
    np.testing.assert_allclose(ratio, np.log2((mean + 0.1) / (control + 0.1)), atol=1e-12)


def test_effects_of_profiles_may_be_negative() -> None:
    assert effect(np.array([[-2.0]]), np.array([[1.0]])).item() == -3


def test_logfc_keeps_nan_and_shaves_rounding() -> None:
    got = logfc(np.array([[np.nan, -1e-9, 0.0]]), np.zeros((1, 3)))
    assert np.isnan(got[0, 0])
    assert got[0, 1:].tolist() == [0, 0]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("value", "match"),
    [
        (-2.0, "what has negative means .down to -2, in 'g1'.*statistic 'effect'"),
        (500.0, r"what has means up to 500: call `ps\.pp\.normalize"),
    ],
)
def test_logfc_is_refused(value, match, side) -> None:
    pair = [np.ones((2, 3)), np.ones((2, 3))]
    pair[side][1, 1] = value
    with pytest.raises(ValueError, match=match):
        logfc(*pair, genes=["g0", "g1", "g2"], what="what")
