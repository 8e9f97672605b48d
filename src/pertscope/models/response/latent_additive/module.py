"""Network of :class:`pertscope.models.LatentAdditive`."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from pertscope.nn.likelihood import make_likelihood
from pertscope.nn.matched_module import MatchedModule
from pertscope.nn.mlp import mlp


@final
class LatentAdditiveModule(MatchedModule):
    """``x = decoder(encoder(x0) + perturbation_encoder(p))``, covariates joined where asked for."""

    def __init__(
        self,
        n_inputs: int,
        n_genes: int,
        n_perturbations: int,
        n_covariates: int,
        *,
        n_hidden: int,
        n_latent: int,
        n_layers: int,
        dropout: float,
        covariates_in_encoder: bool,
        covariates_in_decoder: bool,
        softplus: bool,
        likelihood: str,
    ) -> None:
        super().__init__(make_likelihood(likelihood, n_genes))

        def net(n_in: int, n_out: int) -> nn.Sequential:
            return mlp(n_in, n_out, n_hidden=n_hidden, n_layers=n_layers, dropout=dropout)

        self.in_encoder, self.in_decoder = covariates_in_encoder, covariates_in_decoder
        self.encoder = net(n_inputs + n_covariates * covariates_in_encoder, n_latent)
        self.perturbation_encoder = net(n_perturbations, n_latent)
        n_outputs = self.likelihood.n_outputs * n_genes
        self.decoder = net(n_latent + n_covariates * covariates_in_decoder, n_outputs)
        self.output = nn.Softplus() if softplus else nn.Identity()

    def encode(self, seen0: Tensor, covariates: Tensor) -> Tensor:
        """Latent state of the control cells, ``(cells, n_latent)``."""
        return self.encoder(_join(seen0, covariates) if self.in_encoder else seen0)

    def outputs(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Add the perturbation in latent space and decode."""
        z = state + self.perturbation_encoder(perturbations)
        return self.output(self.decoder(_join(z, covariates) if self.in_decoder else z))


def _join(x: Tensor, covariates: Tensor) -> Tensor:
    return torch.cat([x, covariates.expand(len(x), -1)], dim=1)
