"""What the network of a response model must offer."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from pertscope.nn.likelihood import Likelihood, SquaredError


class ResponseModule(nn.Module):
    """Maps control cells, perturbations and covariates to perturbed cells.

    Split in two, so that a prediction of many conditions reads each control cell once.

    Parameters
    ----------
    likelihood
        What the decoder's outputs mean; by default they are expression, judged by its squared
        error.
    """

    of_single_cells: ClassVar[bool] = False
    """Whether it learns what single control cells are like: a mean of them is none."""

    def __init__(self, likelihood: Likelihood | None = None) -> None:
        super().__init__()
        self.likelihood = SquaredError() if likelihood is None else likelihood

    def forward(
        self,
        seen0: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        library: Tensor | None = None,
    ) -> Tensor:
        """Perturbed expression ``(cells, genes)``.

        Parameters
        ----------
        seen0
            What the encoder sees of control cells: :meth:`Likelihood.see` of their expression
            ``(cells, genes)``, or a representation ``(cells, dimensions)``.
        perturbations
            Vectors ``(cells, perturbations)``, multi-hot say, or one row for all cells.
        covariates
            One-hot blocks ``(cells, covariate values)``, or one row for all cells.
        library
            Total counts of the cells ``(cells,)``, where the likelihood is one of counts.
        """
        return self.decode(self.encode(seen0, covariates), perturbations, covariates, library)

    def decode(
        self,
        state: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        library: Tensor | None = None,
    ) -> Tensor:
        """Perturbed expression ``(cells, genes)`` from the state of control cells."""
        return self.likelihood.mean(self.outputs(state, perturbations, covariates), library)

    @abstractmethod
    def encode(self, seen0: Tensor, covariates: Tensor) -> Tensor:
        """State of the control cells, ``(cells, anything)``."""

    @abstractmethod
    def outputs(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """What the likelihood needs of each perturbed cell, ``(cells, n_outputs * genes)``."""

    @abstractmethod
    def validation_loss(
        self,
        x0: Tensor,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen0: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """What validation judges by: a mean over cells that draws the same every time.

        Parameters
        ----------
        x0, x, perturbations, covariates, seen0, seen
            As in :meth:`loss`.
        """

    @abstractmethod
    def loss(
        self,
        x0: Tensor,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen0: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """What training lowers: a mean over cells.

        Parameters
        ----------
        x0, x
            Control cells, and the perturbed cells that they are matched to, ``(cells, genes)``.
        perturbations, covariates
            Of the perturbed cells, as in :meth:`forward`.
        seen0, seen
            What the encoder sees of the two, where that is not their expression.
        """

    def seen(self, x: Tensor, representation: Tensor | None) -> Tensor:
        """What the encoder sees of cells: a representation, or their expression."""
        return self.likelihood.see(x) if representation is None else representation
