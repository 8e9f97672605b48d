"""A model with some settings fixed and others to choose."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import TYPE_CHECKING, Any

from pertscope._core.messages import nearest
from pertscope.models._registry import MODELS
from pertscope.models.interruption import TrainingInterruptedWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from anndata import AnnData

    from pertscope.models.base import ResponseModel

SEED, MAX_EPOCHS, ON_EPOCH = "seed", "max_epochs", "on_epoch"
OF_ONE_TRAINING = ("checkpoint", "checkpoint_seconds")


def refuse_checkpoint(names: Collection[str], who: str) -> None:
    """Refuse settings of checkpoints, where several trainings would share their folder."""
    found = [name for name in OF_ONE_TRAINING if name in names]
    if found:
        raise ValueError(
            f"{who}: `{found[0]}` is for one training, here several would share its folder: leave "
            "it out, what has ended is kept without it."
        )


@dataclass(frozen=True)
class Candidate:
    """A model of the registry and its fixed settings.

    Attributes
    ----------
    name
        Name of the model.
    fixed
        Settings of the model and of its ``train()`` that stay as they are.
    """

    name: str
    fixed: dict[str, Any]

    def __post_init__(self) -> None:
        if self.name not in MODELS:
            raise ValueError(f"there is no model {self.name!r}; {nearest(self.name, MODELS)}.")
        self.require_settings(self.fixed)

    @cached_property
    def model(self) -> type[ResponseModel]:
        """Its class."""
        return MODELS[self.name].load()

    @cached_property
    def _of_model(self) -> dict[str, Any]:
        """Settings of the model with their defaults."""
        return {n: p.default for n, p in signature(self.model).parameters.items() if n != "adata"}

    @cached_property
    def _of_training(self) -> dict[str, Any]:
        """Settings of its training with their defaults."""
        found = signature(self.model.train).parameters.items()
        return {n: p.default for n, p in found if n not in ("self", ON_EPOCH)}

    @property
    def has_seed(self) -> bool:
        """Whether it draws."""
        return SEED in self._of_model

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as they are while none is chosen."""
        return {**self._of_model, **self._of_training, **self.fixed}

    def require_settings(self, names: Collection[str]) -> None:
        """Refuse settings that the model does not have, or that ``tune`` sets itself."""
        known = {*self._of_model, *self._of_training} - {SEED, MAX_EPOCHS, *OF_ONE_TRAINING}
        refuse_checkpoint(names, f"{self.name!r}")
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{self.name!r} has no setting {name!r} to fix or tune; "
                    f"{nearest(name, sorted(known))}."
                )

    def fit(
        self,
        adata: AnnData,
        chosen: dict[str, Any],
        *,
        seed: int,
        max_epochs: int,
        on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    ) -> ResponseModel:
        """Train with the chosen settings.

        Raises
        ------
        KeyboardInterrupt
            Where training was interrupted, also where the model would have kept what it had.
        """
        every = {**self.fixed, **chosen, SEED: seed, MAX_EPOCHS: max_epochs, ON_EPOCH: on_epoch}
        model = self.model(adata, **{k: v for k, v in every.items() if k in self._of_model})
        known = signature(model.train).parameters
        with warnings.catch_warnings():
            warnings.simplefilter("error", TrainingInterruptedWarning)
            try:
                model.train(**{k: v for k, v in every.items() if k in known})
            except TrainingInterruptedWarning as warning:
                raise KeyboardInterrupt from warning
        return model
