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
        cells = torch.cat([x, x0])
        applied = torch.cat([perturbations, torch.zeros_like(perturbations)])
        return self.cell_loss(cells, applied, torch.cat([covariates, covariates]))

    @abstractmethod
    def cell_loss(self, x: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Loss of cells ``(cells, genes)`` under what was done to them: a mean over cells."""
