"""Network of :class:`pertscope.models.SAMSVAE`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from pertscope.nn.autoencoder_module import AutoencoderModule
from pertscope.nn.likelihood import make_likelihood
from pertscope.nn.mlp import mlp
from pertscope.nn.normal_divergence import normal_divergence

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPERATURE = 0.5
OPEN_LOGIT = 2.0  # masks start open (probability 0.88): training closes what explains nothing
START_SD = 0.1  # of the posterior of effects, whose means start as draws from their prior


@final
class SAMSVAEModule(AutoencoderModule):
    """``z = z_basal + covariates + sum_t m_t * e_t``, decoded.

    Attributes
    ----------
    n_cells
        Training cells of each perturbation, float32 ``(perturbations,)``: ones until they are set.
        Saved with the weights.
    """

    n_cells: Tensor
    mask_logits: nn.Parameter | None
    effect_raw_sd: nn.Parameter | None

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
        sparse: bool,
        global_latents: bool,
        mean_field: bool,
        mask_prior_probability: float,
        kl_weight: float,
        likelihood: str,
    ) -> None:
        super().__init__(make_likelihood(likelihood, n_genes))

        def net(n_in: int, n_out: int) -> nn.Sequential:
            return mlp(n_in, n_out, n_hidden=n_hidden, n_layers=n_layers, dropout=dropout)

        self._draw: Tensor | None = None
        self.mean_field = mean_field
        self.kl_weight = kl_weight
        self.encoder = net(n_inputs + n_covariates + n_latent * (not mean_field), 2 * n_latent)
        self.decoder = net(n_latent, self.likelihood.n_outputs * n_genes)
        shape = (n_perturbations, n_latent)
        self.effect_mean = nn.Parameter(torch.randn(shape))
        raw_sd = torch.full(shape, START_SD).expm1().log()  # softplus turns it back
        self.effect_raw_sd = nn.Parameter(raw_sd) if global_latents else None
        self.mask_logits = nn.Parameter(torch.full(shape, OPEN_LOGIT)) if sparse else None
        self.prior_logit = float(torch.logit(torch.tensor(mask_prior_probability)))
        self.covariate_shift = nn.Parameter(torch.randn(n_covariates, n_latent))
        self.register_buffer("n_cells", torch.ones(n_perturbations))

    def encode(self, seen0: Tensor, covariates: Tensor) -> Tensor:
        """Mean basal state of control cells, ``(cells, n_latent)``."""
        return self._basal(seen0, seen0.new_zeros(1, self.effect_mean.shape[1]), covariates)[0]

    def outputs(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Add covariates and mean effects in latent space and decode."""
        shift = perturbations @ self.mean_effects()
        return self.decoder(self._state(state, shift, covariates))

    def cell_loss(
        self,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Error plus ``2 kl_weight / genes`` times the divergence per cell."""
        effects = self._sample() if self.training else self.mean_effects()
        shift = perturbations @ effects
        mean, sd = self._basal(self.seen(x, seen), shift, covariates)
        basal = mean + sd * torch.randn_like(sd) if self.training else mean
        error = self.likelihood.loss(self.decoder(self._state(basal, shift, covariates)), x)
        divergence = (normal_divergence(mean, sd).sum(dim=1) + self.global_kl(perturbations)).mean()
        return error + 2 * self.kl_weight / x.shape[1] * divergence

    def latent(self, seen: Tensor, perturbations: Tensor | None, covariates: Tensor) -> Tensor:
        """State that the decoder sees, or the mean basal state, ``(cells, n_latent)``."""
        if perturbations is None:
            return self.encode(seen, covariates)
        shift = perturbations @ self.mean_effects()
        return self._state(self._basal(seen, shift, covariates)[0], shift, covariates)

    def perturbation_embeddings(self, singles: Tensor) -> Tensor:
        """Mean effects."""
        return singles @ self.mean_effects()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Within it, one draw of masks and effects stands for their means."""
        with torch.no_grad():
            self._draw = self._sample()
        try:
            yield
        finally:
            self._draw = None

    def mean_effects(self) -> Tensor:
        """Mean effects where the mask is more likely open than closed, zeros elsewhere."""
        if self._draw is not None:
            return self._draw
        if self.mask_logits is None:
            return self.effect_mean
        return self.effect_mean * (self.mask_logits > 0)

    def covariate_embeddings(self) -> Tensor:
        """How far each covariate value shifts the latent state."""
        return self.covariate_shift

    def global_kl(self, perturbations: Tensor) -> Tensor:
        """Share of each cell in the divergence of masks and effects, ``(cells,)``, in nats.

        A cell carries ``1 / n_cells`` of the divergence of each of its perturbations: all training
        cells together carry it once.
        """
        kl = torch.zeros_like(self.n_cells)
        if self.effect_raw_sd is not None:
            sd = functional.softplus(self.effect_raw_sd)
            kl = kl + normal_divergence(self.effect_mean, sd).sum(dim=1)
        if self.mask_logits is not None:
            kl = kl + kl_bernoulli(self.mask_logits, self.prior_logit).sum(dim=1)
        applied = (perturbations > 0).to(kl.dtype)  # whatever the dose
        return applied @ (kl / self.n_cells)

    def _sample(self) -> Tensor:
        """One draw of all ``m_t * e_t``, shared by the cells of a batch."""
        effect: Tensor = self.effect_mean
        if self.effect_raw_sd is not None:
            effect = effect + functional.softplus(self.effect_raw_sd) * torch.randn_like(effect)
        if self.mask_logits is None:
            return effect
        noise = torch.rand_like(effect).logit(eps=1e-6)
        relaxed = torch.sigmoid((self.mask_logits + noise) / TEMPERATURE)
        hard = (relaxed > 0.5).to(relaxed.dtype)
        return effect * (hard + relaxed - relaxed.detach())  # hard, with the gradient of relaxed

    def _state(self, basal: Tensor, shift: Tensor, covariates: Tensor) -> Tensor:
        """What the decoder sees, ``(cells, n_latent)``."""
        return basal + covariates @ self.covariate_shift + shift

    def _basal(self, seen: Tensor, shift: Tensor, covariates: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the basal state, each ``(cells, n_latent)``."""
        parts = [seen, covariates.expand(len(seen), -1)]
        if not self.mean_field:
            parts.append(shift.expand(len(seen), -1))
        mean, raw_sd = self.encoder(torch.cat(parts, dim=1)).chunk(2, dim=1)
        return mean, functional.softplus(raw_sd) + 1e-6


def kl_bernoulli(logits: Tensor, prior_logit: float) -> Tensor:
    """Divergence of Bernoulli(sigmoid(logits)) from the prior, elementwise, in nats."""
    prior = torch.full_like(logits, prior_logit)
    return torch.sigmoid(logits) * (logits - prior) - (
        functional.softplus(logits) - functional.softplus(prior)
    )
