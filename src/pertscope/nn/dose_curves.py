"""How much of a perturbation's effect a dose has."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


@final
class DoseCurves(nn.Module):
    """A rising sigmoid for each perturbation: ``(s(a d + b) - s(b)) / (s(a + b) - s(b))``.

    d is the scaled dose and s the logistic function: 0 without the perturbation, 1 at the highest
    dose of training. The slope a is positive; nearly straight lines at first.
    """

    def __init__(self, n_perturbations: int) -> None:
        super().__init__()
        self.log_slope = nn.Parameter(torch.zeros(n_perturbations))
        self.offset = nn.Parameter(torch.zeros(n_perturbations))

    def forward(self, doses: Tensor) -> Tensor:
        """Share of each perturbation's effect, as `doses` ``(cells, perturbations)``."""
        slope = self.log_slope.exp()
        # the formula above, multiplied out: no difference of numbers near 1
        height = softplus(-slope - self.offset) - softplus(-slope * doses - self.offset)
        return torch.expm1(-slope * doses) / torch.expm1(-slope) * height.exp()
