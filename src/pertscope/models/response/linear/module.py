"""Network of :class:`pertscope.models.Linear`."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from pertscope.nn.matched_module import MatchedModule


@final
class LinearModule(MatchedModule):
    """``x = x0 + W [p, c] + b``."""

    def __init__(self, n_genes: int, n_perturbations: int, n_covariates: int) -> None:
        super().__init__()
        self.effect = nn.Linear(n_perturbations + n_covariates, n_genes)

    def encode(self, seen0: Tensor, covariates: Tensor) -> Tensor:
        """Leave the control cells as they are."""
        return seen0

    def outputs(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Add the effect."""
        return state + self.effect(torch.cat([perturbations, covariates], dim=1))
