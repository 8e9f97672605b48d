"""Network of :class:`pertscope.models.CPA`."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from pertscope.nn.adversarial_module import BasalModule
from pertscope.nn.dose_curves import DoseCurves
from pertscope.nn.likelihood import make_likelihood
from pertscope.nn.mlp import mlp
from pertscope.nn.normal_divergence import normal_divergence


@final
class CPAModule(BasalModule):
    """``x = decoder(encoder(x) + p E + c C)``, with embeddings E and C.

    With `dose_curves`, p holds scaled doses, each of which goes through its perturbation's curve.
    """

    def __init__(
        self,
        n_inputs: int,
        n_genes: int,
        n_perturbations: int,
        n_covariates: int,
        *,
        variational: bool,
        kl_weight: float,
        n_hidden: int,
        n_latent: int,
        n_layers: int,
        dropout: float,
        softplus: bool,
        likelihood: str,
        dose_curves: bool = False,
    ) -> None:
        super().__init__(make_likelihood(likelihood, n_genes))

        def net(n_in: int, n_out: int) -> nn.Sequential:
            return mlp(n_in, n_out, n_hidden=n_hidden, n_layers=n_layers, dropout=dropout)

        self.n_latent, self.variational, self.kl_weight = n_latent, variational, kl_weight
        self.encoder = net(n_inputs, n_latent * (1 + variational))
        self.perturbations = nn.Linear(n_perturbations, n_latent, bias=False)
        self.covariates = nn.Linear(n_covariates, n_latent, bias=False) if n_covariates else None
        for embedding in (self.perturbations, self.covariates):
            if embedding is not None:  # as large as basal states: smaller ones are hardly heard
                nn.init.normal_(embedding.weight)
        self.doses = DoseCurves(n_perturbations) if dose_curves else nn.Identity()
        self.decoder = net(n_latent, self.likelihood.n_outputs * n_genes)
        self.output = nn.Softplus() if softplus else nn.Identity()

    def encode(self, seen0: Tensor, covariates: Tensor) -> Tensor:
        """Basal state, its mean where it is variational, ``(cells, n_latent)``."""
        return self.encoder(seen0)[:, : self.n_latent]

    def outputs(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Add the embeddings and decode."""
        return self.output(self.decoder(self._perturbed(state, perturbations, covariates)))

    def latent(self, seen: Tensor, perturbations: Tensor | None, covariates: Tensor) -> Tensor:
        """Basal or perturbed state ``(cells, n_latent)``: a draw in training, else the mean."""
        basal = self._basal(seen)[0]
        return basal if perturbations is None else self._perturbed(basal, perturbations, covariates)

    def cell_loss_and_basal(
        self,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Error plus ``2 kl_weight / genes`` times the divergence per cell."""
        basal, divergence = self._basal(self.seen(x, seen))
        error = self.likelihood.loss(self.outputs(basal, perturbations, covariates), x)
        return error + 2 * self.kl_weight / x.shape[1] * divergence, basal

    def perturbation_embeddings(self, singles: Tensor) -> Tensor:
        """E, ``(perturbations, n_latent)``."""
        return self.perturbations(singles)

    def covariate_embeddings(self) -> Tensor:
        """C, ``(covariate values, n_latent)``."""
        if self.covariates is None:
            return self.perturbations.weight.new_zeros(0, self.n_latent)
        return self.covariates.weight.T

    def _basal(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Basal state, and its mean divergence from a standard normal."""
        if not self.variational:
            return self.encoder(seen), seen.new_zeros(())
        mean, log_variance = self.encoder(seen).chunk(2, dim=1)
        sd = (log_variance / 2).exp()
        divergence = normal_divergence(mean, sd).sum(dim=1).mean()
        return (mean + sd * torch.randn_like(mean) if self.training else mean), divergence

    def _perturbed(self, basal: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        z = basal + self.perturbations(self.doses(perturbations))
        return z if self.covariates is None else z + self.covariates(covariates)
