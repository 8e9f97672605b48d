"""Autoencoders that train against an adversary."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch

from pertscope.nn.autoencoder_module import AutoencoderModule, cells_of_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from pertscope.nn.adversary import Adversary


class AdversarialModule(AutoencoderModule):
    """Keeps its basal state free of perturbations and covariates, by deceiving an adversary.

    Attributes
    ----------
    adversary
        The opponent; ``None`` trains by :meth:`loss` alone.
    adversary_weight
        Of the adversary's loss, which the other networks raise.
    penalty_weight
        Of the adversary's gradient penalty, which it lowers.
    adversary_steps
        Every so manieth step trains the others, all the rest the adversary.
    warmup_epochs
        Epochs without adversary that come first.
    """

    adversary: Adversary | None
    adversary_weight: float
    penalty_weight: float
    adversary_steps: int
    warmup_epochs: int

    def cell_loss(self, x: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Loss without the adversary's part, which validation never sees."""
        return self.cell_loss_and_basal(x, perturbations, covariates)[0]

    @abstractmethod
    def cell_loss_and_basal(
        self, x: Tensor, perturbations: Tensor, covariates: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of cells, a mean, and the basal states ``(cells, n_latent)`` that it came from."""

    def generator_loss(
        self, x0: Tensor, x: Tensor, perturbations: Tensor, covariates: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What all but the adversary lower, and :meth:`loss`, which is a part of it.

        ``loss - adversary_weight * adversary's loss``: raising the adversary's loss lowers it.
        """
        adversary = self._require_adversary()
        cells, applied, context = cells_of_pairs(x0, x, perturbations, covariates)
        loss, basal = self.cell_loss_and_basal(cells, applied, context)
        told = adversary.loss(adversary.logits(basal), applied, context)
        return loss - self.adversary_weight * told, loss

    def adversary_loss(
        self, x0: Tensor, x: Tensor, perturbations: Tensor, covariates: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the adversary lowers, and its loss, which is a part of it.

        ``adversary's loss + penalty_weight * penalty``, for basal states taken as they are.
        """
        adversary = self._require_adversary()
        cells, applied, context = cells_of_pairs(x0, x, perturbations, covariates)
        with torch.no_grad():
            basal = self.latent(cells, None, context)
        logits = adversary.logits(basal.requires_grad_())
        told = adversary.loss(logits, applied, context)
        return told + self.penalty_weight * adversary.penalty(logits, basal), told

    def _require_adversary(self) -> Adversary:
        if self.adversary is None:
            raise ValueError("this module has no adversary to train against.")
        return self.adversary
