"""Network of :class:`pertscope.models.DecoderOnly`."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from pertscope.nn.matched_module import MatchedModule
from pertscope.nn.mlp import mlp


@final
class DecoderOnlyModule(MatchedModule):
    """``x = decoder(z)`` with z the perturbation, the covariates, or both."""

    def __init__(
        self,
        n_genes: int,
        n_perturbations: int,
        n_covariates: int,
        *,
        uses_perturbation: bool,
        uses_covariates: bool,
        n_hidden: int,
        n_layers: int,
        dropout: float,
        softplus: bool,
    ) -> None:
        super().__init__()
        self.uses_perturbation, self.uses_covariates = uses_perturbation, uses_covariates
        n_in = n_perturbations * uses_perturbation + n_covariates * uses_covariates
        self.decoder = mlp(n_in, n_genes, n_hidden=n_hidden, n_layers=n_layers, dropout=dropout)
        self.output = nn.Softplus() if softplus else nn.Identity()

    def encode(self, seen0: Tensor, covariates: Tensor) -> Tensor:
        """Forget the control cells: nothing but their number goes on."""
        return seen0[:, :0]

    def outputs(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Decode the condition."""
        z = [perturbations] * self.uses_perturbation + [covariates] * self.uses_covariates
        return self.output(self.decoder(torch.cat(z, dim=1))).expand(len(state), -1)
