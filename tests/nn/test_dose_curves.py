"""Curves of doses against their formula, where that has digits and where it has none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit

from pertscope.nn.dose_curves import DoseCurves


@pytest.mark.parametrize("offset", [-12.0, -4.0, 0.0, 4.0, 12.0, 40.0])
@pytest.mark.parametrize("log_slope", [-8.0, 0.0, 3.0])
def test_formula(log_slope, offset) -> None:
    curves = DoseCurves(2)
    with torch.no_grad():
        curves.log_slope[:], curves.offset[:] = log_slope, offset
    d = np.array([0.0, 0.1, 0.5, 0.9, 1.0, 1.5])
    got = curves(torch.from_numpy(d).float()[:, None].expand(-1, 2))
    a, b = np.exp(np.longdouble(log_slope)), np.longdouble(offset)
    # 1 - s(x) = s(-x): the difference of what is left to 1 keeps its digits
    want = (expit(-b) - expit(-(a * d + b))) / (expit(-b) - expit(-(a + b)))
    np.testing.assert_allclose(got[:, 0].detach(), want.astype(float), rtol=2e-3, atol=1e-6)
    np.testing.assert_array_equal(got[[0, 4]].detach(), [[0, 0], [1, 1]])
    got.sum().backward()
    assert torch.isfinite(curves.log_slope.grad).all()
    assert torch.isfinite(curves.offset.grad).all()
