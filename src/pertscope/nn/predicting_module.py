"""Networks that validation judges by what they predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.nn.response_module import ResponseModule

if TYPE_CHECKING:
    from torch import Tensor


class PredictingModule(ResponseModule):
    """Is validated by the error of perturbed cells predicted from their matched controls."""

    def validation_loss(
        self,
        x0: Tensor,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen0: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """``mean (x - forward(x0, p, c))^2``, or what the likelihood has in its place.

        Whatever `loss` says: to put a cell together again is no proof that its perturbation was
        understood.

        Parameters
        ----------
        x0, x, perturbations, covariates, seen0, seen
            As in :meth:`loss`.
        """
        state = self.encode(self.seen(x0, seen0), covariates)
        return self.likelihood.loss(self.outputs(state, perturbations, covariates), x)
