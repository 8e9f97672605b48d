"""Networks that turn a control cell into the perturbed cell that it is matched to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.nn.predicting_module import PredictingModule

if TYPE_CHECKING:
    from torch import Tensor


class MatchedModule(PredictingModule):
    """Trains by the error between predicted and matched perturbed cells: as it is validated."""

    def loss(
        self,
        x0: Tensor,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen0: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Mean over cells and genes."""
        return self.validation_loss(x0, x, perturbations, covariates, seen0, seen)
