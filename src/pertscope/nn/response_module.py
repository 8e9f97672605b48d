"""What the network of a response model must offer."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn
from torch.nn import functional


class ResponseModule(nn.Module):
    """Maps control cells, perturbations and covariates to perturbed cells.

    Split in two, so that a prediction of many conditions reads each control cell once.
    """

    def forward(self, x0: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Perturbed expression ``(cells, genes)``.

        Parameters
        ----------
        x0
            Control cells ``(cells, genes)``.
        perturbations
            Multi-hot ``(cells, perturbations)``, or one row for all cells.
        covariates
            One-hot blocks ``(cells, covariate values)``, or one row for all cells.
        """
        return self.decode(self.encode(x0, covariates), perturbations, covariates)

    @abstractmethod
    def encode(self, x0: Tensor, covariates: Tensor) -> Tensor:
        """State of the control cells, ``(cells, anything)``."""

    @abstractmethod
    def decode(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Perturbed expression ``(cells, genes)`` from that state."""

    def validation_loss(
        self, x0: Tensor, x: Tensor, perturbations: Tensor, covariates: Tensor
    ) -> Tensor:
        """What validation judges all networks by: ``mean (x - forward(x0, p, c))^2``.

        The error of the prediction of perturbed cells from their matched controls, whatever `loss`
        says: to put a cell together again is no proof that its perturbation was understood.

        Parameters
        ----------
        x0, x, perturbations, covariates
            As in :meth:`loss`.
        """
        return functional.mse_loss(self(x0, perturbations, covariates), x)

    @abstractmethod
    def loss(self, x0: Tensor, x: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """What training lowers: a mean over cells.

        Parameters
        ----------
        x0, x
            Control cells, and the perturbed cells that they are matched to, ``(cells, genes)``.
        perturbations, covariates
            Of the perturbed cells, as in :meth:`forward`.
        """
