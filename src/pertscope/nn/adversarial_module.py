"""Autoencoders that train against an adversary."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, final

import torch

from pertscope.nn.autoencoder_module import AutoencoderModule, cells_of_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from pertscope.nn.adversary import Adversary


class BasalModule(AutoencoderModule):
    """An autoencoder that shows the basal states behind its loss."""

    def cell_loss(
        self,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Loss of cells: a mean."""
        return self.cell_loss_and_basal(x, perturbations, covariates, seen)[0]

    @abstractmethod
    def cell_loss_and_basal(
        self,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loss of cells, and the basal states ``(cells, n_latent)`` that it came from."""


@final
class AdversarialModule(AutoencoderModule):
    """An autoencoder whose basal state is kept free of what was done to the cell.

    An adversary learns to tell perturbations and covariates from the basal state, and the
    autoencoder to deceive it.

    Parameters
    ----------
    autoencoder
        What predicts: the adversary has no part in predictions, nor in validation.
    adversary
        The opponent.
    adversary_weight
        Weight of the adversary's loss, which the autoencoder raises, against its own loss.
    penalty_weight
        Weight of the adversary's gradient penalty against its loss.
    adversary_steps
        One step in so many trains the autoencoder, all others the adversary.
    warmup_epochs
        Epochs that come first, in which the autoencoder trains alone.
    """

    def __init__(
        self,
        autoencoder: BasalModule,
        adversary: Adversary,
        *,
        adversary_weight: float,
        penalty_weight: float,
        adversary_steps: int,
        warmup_epochs: int,
    ) -> None:
        super().__init__(autoencoder.likelihood)
        self.autoencoder = autoencoder
        self.adversary = adversary
        self.adversary_weight, self.penalty_weight = adversary_weight, penalty_weight
        self.adversary_steps, self.warmup_epochs = adversary_steps, warmup_epochs

    def generator_loss(
        self,
        x0: Tensor,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen0: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the autoencoder lowers, and its own loss, which is a part of that.

        ``loss - adversary_weight * adversary's loss``: to lower it is to raise the adversary's.
        """
        cells, applied, context, both = cells_of_pairs(
            x0, x, perturbations, covariates, seen0, seen
        )
        loss, basal = self.autoencoder.cell_loss_and_basal(cells, applied, context, both)
        logits = self.adversary.logits(self.adversary.look(basal))
        fooled = self.adversary.loss(logits, applied, context)
        return loss - self.adversary_weight * fooled, loss

    def adversary_loss(
        self,
        x0: Tensor,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen0: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the adversary lowers, and its loss, which is a part of that.

        ``adversary's loss + penalty_weight * penalty``, for basal states taken as they are.
        """
        cells, applied, context, both = cells_of_pairs(
            x0, x, perturbations, covariates, seen0, seen
        )
        with torch.no_grad():
            basal = self.autoencoder.latent(self.seen(cells, both), None, context)
            shown = self.adversary.look(basal)
        logits = self.adversary.logits(shown.requires_grad_())
        loss = self.adversary.loss(logits, applied, context)
        return loss + self.penalty_weight * self.adversary.penalty(logits, shown), loss

    def cell_loss(
        self,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Loss of the autoencoder, without the adversary."""
        return self.autoencoder.cell_loss(x, perturbations, covariates, seen)

    def encode(self, seen0: Tensor, covariates: Tensor) -> Tensor:
        """State of the control cells, ``(cells, anything)``."""
        return self.autoencoder.encode(seen0, covariates)

    def outputs(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """What the likelihood needs of each perturbed cell, ``(cells, n_outputs * genes)``."""
        return self.autoencoder.outputs(state, perturbations, covariates)

    def latent(self, seen: Tensor, perturbations: Tensor | None, covariates: Tensor) -> Tensor:
        """State of cells that the decoder sees, or basal state, ``(cells, n_latent)``."""
        return self.autoencoder.latent(seen, perturbations, covariates)

    def perturbation_embeddings(self, singles: Tensor) -> Tensor:
        """What each perturbation is in latent space, ``(perturbations, dimensions)``."""
        return self.autoencoder.perturbation_embeddings(singles)

    def covariate_embeddings(self) -> Tensor:
        """What each covariate value is in latent space, ``(covariate values, dimensions)``."""
        return self.autoencoder.covariate_embeddings()
