"""The base of models that add a learned effect to the controls."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TRAIN
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed
from pertscope._core.moments import moments
from pertscope._core.splits import split_of
from pertscope.models.base import ResponseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        conditions = screen_conditions(self.adata, self.screen)
        codes = np.where(split_of(self.adata, conditions) == TRAIN, conditions.codes, -1)
        x = matrix_of(self.adata, self.screen.layer)
        found = moments(x, codes, len(conditions), names=self.genes)
        trained = np.flatnonzero((found.n > 0) & ~conditions.is_control)
        controls = conditions.matched_controls(trained)
        lost = found.n[controls] == 0
        if lost.any():
            raise ValueError(
                f"there are no cells of {listed(conditions.index[np.unique(controls[lost])])} in "
                f"'train', which {listed(conditions.index[trained[lost]])} are compared with: "
                "split again."
            )
        effects = found.mean[trained] - found.mean[controls]
        self._fit(conditions.take(trained), effects)
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
