"""The base of models that add a learned effect to the controls."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pertscope.models.base import ResponseModel
from pertscope.models.part_effects import part_effects

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from pertscope._core.conditions import Conditions


class EffectModel(ResponseModel):
    """Predicts ``x_0 + e(c)``: control cells shifted by an effect that depends on the condition.

    Trains on the effects of the training conditions, their means minus those of the training
    controls, and reads each cell once. Imports no torch.
    """

    affine: ClassVar[bool] = True

    def train(self) -> None:
        """Fit the model to the training effects.

        Raises
        ------
        ValueError
            If training conditions have no control cells in train.
        """
        found = part_effects(self.adata, self.screen, self.genes)
        self._fit(found.conditions, found.effects)
        self.is_trained = True

    def _respond(self, x0: np.ndarray, conditions: Conditions) -> Iterator[np.ndarray]:
        for effect in self._effects(conditions):
            yield x0 + effect

    @abstractmethod
    def _fit(self, conditions: Conditions, effects: np.ndarray) -> None:
        """Learn from training effects, float64 ``(conditions, genes)``."""

    @abstractmethod
    def _effects(self, conditions: Conditions) -> np.ndarray:
        """Predicted effects, ``(conditions, genes)``."""
