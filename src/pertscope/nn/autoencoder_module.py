"""Networks that take cells apart into a basal state and what was done to them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from pertscope.nn.predicting_module import PredictingModule


class AutoencoderModule(PredictingModule):
    """Trains by putting together the cells that it took apart: perturbed ones and controls.

    A prediction takes a control cell apart and puts it together with another perturbation, so
    controls must be among the cells that it trains on.
    """

    of_single_cells: ClassVar[bool] = True

    def loss(
        self,
        x0: Tensor,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen0: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Loss of the perturbed cells and of their matched controls, half and half."""
        return self.cell_loss(*cells_of_pairs(x0, x, perturbations, covariates, seen0, seen))

    @abstractmethod
    def cell_loss(
        self,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Loss of cells ``(cells, genes)`` under what was done to them: a mean over cells."""

    @abstractmethod
    def latent(self, seen: Tensor, perturbations: Tensor | None, covariates: Tensor) -> Tensor:
        """State that the decoder sees of cells, ``(cells, n_latent)``, from what the encoder sees.

        Without perturbations (``None``) it is the basal state: what is left of the cells without
        perturbations and covariates. Deterministic in evaluation mode.
        """

    @abstractmethod
    def perturbation_embeddings(self, singles: Tensor) -> Tensor:
        """What each perturbation is in latent space, ``(perturbations, dimensions)``.

        Parameters
        ----------
        singles
            Vector of each perturbation by itself, as in :meth:`forward`.
        """

    @abstractmethod
    def covariate_embeddings(self) -> Tensor:
        """What each covariate value is in latent space, ``(covariate values, dimensions)``."""


def cells_of_pairs(
    x0: Tensor,
    x: Tensor,
    perturbations: Tensor,
    covariates: Tensor,
    seen0: Tensor | None = None,
    seen: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Perturbed cells, then their controls: expression, what was done, covariates, what is seen."""
    applied = torch.cat([perturbations, torch.zeros_like(perturbations)])
    both = None if seen is None or seen0 is None else torch.cat([seen, seen0])
    return torch.cat([x, x0]), applied, torch.cat([covariates, covariates]), both
