"""Network of :class:`pertscope.models.Biolord`."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from pertscope.nn.autoencoder_module import AutoencoderModule
from pertscope.nn.likelihood import make_likelihood
from pertscope.nn.mlp import mlp

if TYPE_CHECKING:
    from collections.abc import Sequence


@final
class BiolordModule(AutoencoderModule):
    """``x = decoder([encoder(x), perturbation_encoder(p), embedding(c) of each covariate])``.

    Parameters
    ----------
    covariate_sizes
        Number of values of each covariate.
    """

    def __init__(
        self,
        n_inputs: int,
        n_genes: int,
        n_perturbations: int,
        covariate_sizes: Sequence[int],
        *,
        n_hidden: int,
        n_latent: int,
        n_layers: int,
        dropout: float,
        noise: float,
        penalty: float,
        likelihood: str,
    ) -> None:
        super().__init__(make_likelihood(likelihood, n_genes))

        def net(n_in: int, n_out: int) -> nn.Sequential:
            return mlp(n_in, n_out, n_hidden=n_hidden, n_layers=n_layers, dropout=dropout)

        self.noise, self.penalty = noise, penalty
        self.encoder = net(n_inputs, n_latent)
        self.perturbation_encoder = net(n_perturbations, n_latent)
        self.embeddings = nn.ParameterList(torch.randn(n, n_latent) for n in covariate_sizes)
        n_outputs = self.likelihood.n_outputs * n_genes
        self.decoder = net((2 + len(covariate_sizes)) * n_latent, n_outputs)

    def encode(self, seen0: Tensor, covariates: Tensor) -> Tensor:
        """Basal state of the control cells, ``(cells, n_latent)``."""
        return self.encoder(seen0)

    def outputs(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Put basal state, perturbation and covariates side by side and decode."""
        return self.decoder(self._join(state, perturbations, covariates))

    def cell_loss(
        self,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Error plus ``penalty / genes`` times the squared length of the state."""
        state = self.encoder(self.seen(x, seen))
        length = state.square().sum(dim=1).mean()
        if self.training:
            state = state + self.noise * torch.randn_like(state)
        error = self.likelihood.loss(self.outputs(state, perturbations, covariates), x)
        return error + self.penalty / x.shape[1] * length

    def latent(self, seen: Tensor, perturbations: Tensor | None, covariates: Tensor) -> Tensor:
        """All that the decoder sees, side by side, or the basal state ``(cells, n_latent)``."""
        state = self.encoder(seen)
        return state if perturbations is None else self._join(state, perturbations, covariates)

    def perturbation_embeddings(self, singles: Tensor) -> Tensor:
        """Encoded perturbations, one at a time."""
        return self.perturbation_encoder(singles)

    def covariate_embeddings(self) -> Tensor:
        """Embeddings of all values of all covariates."""
        if not len(self.embeddings):
            return torch.zeros(0, 0)
        return torch.cat(list(self.embeddings))

    def _join(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        blocks = covariates.split([len(e) for e in self.embeddings], dim=1)
        known = [self.perturbation_encoder(perturbations)]
        known += [c @ e for c, e in zip(blocks, self.embeddings, strict=True)]
        return torch.cat([state, *(k.expand(len(state), -1) for k in known)], dim=1)
