"""One trial after another, and what they have in common."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import matrix_of
from pertscope._core.moments import moments
from pertscope._core.perturbation_embedding import read_embedding
from pertscope._core.screen import Screen
from pertscope._core.splits import split_of
from pertscope.models._registry import MODELS
from pertscope.models.checks import encoder_input
from pertscope.tl._search_space import CHOICES, losses_compare, suggest
from pertscope.tl._tuning_table import EPOCHS
from pertscope.tl._validation import OBJECTIVE, coarse

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from optuna.trial import FrozenTrial, Trial

    from pertscope.models.base import ResponseModel
    from pertscope.tl._candidate import Candidate
    from pertscope.tl._search_space import Space
    from pertscope.tl._validation import Validation

OF_MACHINE = ("accelerator", "devices", "strategy")
"""Settings in which the machines that share a study may differ."""


@dataclass
class Search:
    """What a trial trains and on what it is judged; it remembers the best model of this process.

    Attributes
    ----------
    candidate, space
        Model with its fixed settings, and the ranges of the others.
    adata, validation
        Where it trains, and where it is judged.
    seed, max_epochs
        Of all trainings.
    """

    candidate: Candidate
    space: Space
    adata: AnnData
    validation: Validation
    seed: int
    max_epochs: int
    _best: tuple[float, int, ResponseModel] | None = field(default=None, init=False)

    @property
    def asked(self) -> dict[str, Any]:
        """What trials must share to be trials of one study."""
        return {
            "model": self.candidate.name,
            "settings": {k: v for k, v in self.candidate.fixed.items() if k not in OF_MACHINE},
            "search_space": self.space,
            "max_epochs": self.max_epochs,
            "seed": self.seed,
            "training data": self._training_data,
            "validation conditions": self.validation.identity,
        }

    @property
    def _training_data(self) -> str:
        """Hash of what trials learn from: cells of train and val, named representations, vectors.

        Of cells, their order, labels, doses and parts count, and the means of their conditions.
        """
        screen = Screen.of(self.adata)
        conditions = screen_conditions(self.adata, screen)
        part = split_of(self.adata, conditions)
        rows = np.flatnonzero((part == keys.TRAIN) | (part == keys.VAL))
        used, codes = np.unique(conditions.codes[rows], return_inverse=True)
        condition = np.full(len(part), -1)
        condition[rows] = codes
        state = hashlib.sha256("\n".join([*conditions.index[used], ""]).encode())
        state.update(codes.tobytes() + (part[rows] == keys.TRAIN).tobytes())
        if screen.dose_key in self.adata.obs:
            state.update(self.adata.obs[screen.dose_key].to_numpy(np.float64)[rows].tobytes())
        seen = [encoder_input(self.adata, name, None) for name in self._values("use_rep")]
        for x in (matrix_of(self.adata, screen.layer), *seen):
            state.update(coarse(moments(x, condition, len(used)).mean))
        for name in self._values("perturbation_embedding"):
            held = read_embedding(self.adata, name)
            state.update("\n".join([*held.names, held.combine]).encode() + held.vectors.tobytes())
        return state.hexdigest()[:16]

    def _values(self, setting: str) -> list[Any]:
        """What a setting may be in a trial, where it names something."""
        fixed = self.candidate.fixed.get(setting)
        named = fixed if isinstance(fixed, list | tuple) else [fixed]
        searched = self.space.get(setting, {}).get(CHOICES, [])
        return [name for name in (*named, *searched) if name is not None]

    @property
    def can_prune(self) -> bool:
        """Whether there are epochs, whose validation losses tell trials apart."""
        name = self.candidate.name
        return MODELS[name].network and losses_compare(name, self.space)

    def run(self, trial: Trial, on_epoch: Callable[[int, dict[str, float]], None] | None) -> float:
        """Train with the settings of a trial; its objective.

        Raises
        ------
        ValueError
            If that is not finite.
        """
        chosen = suggest(trial, self.space, self.candidate.settings)
        model, scores = self.fit(chosen, self.seed, on_epoch)
        for name, value in scores.items():
            trial.set_user_attr(name, value)
        objective = scores[OBJECTIVE]
        if not math.isfinite(objective):
            raise ValueError(f"the objective became {objective}.")
        if self._best is None or objective < self._best[0]:
            self._best = objective, trial.number, model
        return objective

    def fit(
        self,
        chosen: dict[str, Any],
        seed: int,
        on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    ) -> tuple[ResponseModel, dict[str, float]]:
        """Train with these settings; the model, its scores and its epochs."""
        model = self.candidate.fit(
            self.adata, chosen, seed=seed, max_epochs=self.max_epochs, on_epoch=on_epoch
        )
        return model, {**self.validation.score(model), EPOCHS: len(model.history)}

    def model_of(self, trial: FrozenTrial) -> ResponseModel:
        """Model of a trial; trained again where another process or an earlier call trained it."""
        if self._best is not None and self._best[1] == trial.number:
            return self._best[2]
        return self.fit(trial.params, self.seed)[0]
