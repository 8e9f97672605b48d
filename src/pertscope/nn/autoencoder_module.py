"""Networks that take cells apart into a basal state and what was done to them."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from pertscope.nn.response_module import ResponseModule


class AutoencoderModule(ResponseModule):
    """Trains by putting together the cells that it took apart: perturbed ones and controls.

    A prediction takes a control cell apart and puts it together with another perturbation, so
    controls must be among the cells that it trains on.
    """

    def loss(self, x0: Tensor, x: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Loss of the perturbed cells and of their matched controls, half and half."""
        return self.cell_loss(*cells_of_pairs(x0, x, perturbations, covariates))

    @abstractmethod
    def cell_loss(self, x: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Loss of cells ``(cells, genes)`` under what was done to them: a mean over cells."""

    @abstractmethod
    def latent(self, x: Tensor, perturbations: Tensor | None, covariates: Tensor) -> Tensor:
        """State of cells ``(cells, genes)`` that the decoder sees, ``(cells, n_latent)``.

        Without perturbations (``None``) it is the basal state: what is left of the cells without
        perturbations and covariates. Deterministic in evaluation mode.
        """

    @abstractmethod
    def perturbation_embeddings(self) -> Tensor:
        """What each perturbation is in latent space, ``(perturbations, dimensions)``."""

    @abstractmethod
    def covariate_embeddings(self) -> Tensor:
        """What each covariate value is in latent space, ``(covariate values, dimensions)``."""


def cells_of_pairs(
    x0: Tensor, x: Tensor, perturbations: Tensor, covariates: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Perturbed cells, then their controls, with what was done to each and their covariates."""
    applied = torch.cat([perturbations, torch.zeros_like(perturbations)])
    return torch.cat([x, x0]), applied, torch.cat([covariates, covariates])
