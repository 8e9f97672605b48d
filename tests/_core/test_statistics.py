from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pertscope._core.statistics import effect, logfc, require_logfc

means = hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 25))


@given(mean=means, control=means, clip=st.booleans())
def test_definitions(mean, control, clip) -> None:
    assert np.array_equal(effect(mean, control), mean - control)
    ratio = logfc(mean, control, clip=clip)
    assert np.array_equal(ratio, -logfc(control, mean, clip=clip))
    np.testing.assert_allclose(ratio, np.log2((mean + 0.1) / (control + 0.1)), atol=1e-12)


def test_effects_of_profiles_may_be_negative() -> None:
    assert effect(np.array([[-2.0]]), np.array([[1.0]])).item() == -3


@pytest.mark.parametrize(("clip", "small"), [(True, np.log2(0.1)), (False, np.log2(0.08))])
def test_logfc_of_negative_predictions(clip, small) -> None:
    """Without clipping, what has no logarithm (here also log 0 and NaN) becomes 0."""
    mean = np.array([[-0.02, -0.1, -7.0, np.nan]])
    want = [small] + ([np.log2(0.1)] * 2 + [0] if clip else [0] * 3)
    got = logfc(mean, np.array([[0.9, 0.9, 0.9, 0.9]]), clip=clip)
    np.testing.assert_allclose(got[0], want, atol=1e-12)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (-2.0, r"what has negative means \(down to -2, in 'g1'\).*statistic 'effect'"),
        (500.0, r"what has means up to 500: call `ps\.pp\.normalize"),
    ],
)
def test_means_without_logfc_are_refused(value, match) -> None:
    mean = np.ones((2, 3))
    require_logfc(mean, ["g0", "g1", "g2"], "what")
    mean[1, 1] = value
    with pytest.raises(ValueError, match=match):
        require_logfc(mean, ["g0", "g1", "g2"], "what")
