"""The divergence from the standard normal, against torch's."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from pertscope.nn.normal_divergence import normal_divergence


def test_against_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_sd = torch.randn(2, 30, 4, generator=generator)
    want = kl_divergence(Normal(mean, log_sd.exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(normal_divergence(mean, log_sd.exp()), want)
    assert normal_divergence(torch.zeros(3), torch.ones(3)).tolist() == [0, 0, 0]
