"""How far a normal distribution is from the standard one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def normal_divergence(mean: Tensor, sd: Tensor) -> Tensor:
    """``KL(N(mean, sd^2) || N(0, 1))``, elementwise, in nats."""
    return (mean**2 + sd**2 - 1) / 2 - sd.log()
