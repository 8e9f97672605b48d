"""The base of networks that learn the effect of a condition."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TEST, TRAIN, VAL
from pertscope._core.splits import split_of
from pertscope.models.base import ResponseModel
from pertscope.models.checks import require_positive
from pertscope.models.control_means import context_names
from pertscope.models.descent import descend
from pertscope.models.epochs import device_of
from pertscope.models.isolation import own_random_state
from pertscope.models.part_effects import part_effects
from pertscope.models.validation_conditions import validation_conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pertscope._core.conditions import Conditions
    from pertscope.nn.effect_module import EffectModule

FALLBACK, WEIGHTS = "mean.", "module."
"""What the names of saved arrays begin with."""


class EffectNetwork(ResponseModel):
    """A response model ``x_0 + e(c)`` whose effect is a torch module.

    Trains on the effects of the training conditions of all covariates at once, as
    :class:`pertscope.models.effect_model.EffectModel` reads them: each cell once. Conditions of
    which the network knows nothing are left out in training, and are predicted by the mean training
    effect of their covariates.

    A subclass says what is fixed before training, builds the module, and says what it sees of a
    condition.
    """

    affine: ClassVar[bool] = True
    module: EffectModule
    _accelerator: str = "auto"

    def __init__(self, adata: Any, *, seed: int, **settings: Any) -> None:
        super().__init__(adata, seed=seed, **settings)
        self._fixed: dict[str, np.ndarray] = {}

    def train(
        self,
        *,
        max_epochs: int = 500,
        batch_size: int = 64,
        lr: float = 1e-3,
        warmup_epochs: int = 5,
        patience: int = 25,
        gradient_clip: float = 1.0,
        val_fraction: float = 0.2,
        accelerator: str = "auto",
        on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    ) -> None:
        """Train on the effects of the train part; the weights with the best validation loss stay.

        It is validated on the val part. Where there is none, on a share of the training conditions,
        which weights do not learn from: those of some perturbations; or any, where the test part
        applies no perturbation that is unseen. One-hot perturbations are all trained on: of theirs,
        conditions whose perturbations others apply. Called again it begins anew.

        Parameters
        ----------
        max_epochs
            Most passes over the training conditions.
        batch_size
            Conditions per step.
        lr
            Learning rate of Adam.
        warmup_epochs
            Epochs in which the rate grows to `lr`.
        patience
            Epochs without a lower validation loss after which training stops.
        gradient_clip
            Largest norm of a gradient.
        val_fraction
            Share of the perturbations or conditions to validate on where there is no val part.
        accelerator
            ``"auto"`` takes a GPU where there is one; ``"cpu"`` or ``"gpu"``.
        on_epoch
            Called after each epoch with its number and its losses by name; what it raises ends the
            training.

        Raises
        ------
        ValueError
            If an argument is out of range, training conditions have no controls in train, there is
            nothing to train or to validate on, or the loss is no number any more.
        """
        require_positive(max_epochs=max_epochs, batch_size=batch_size, patience=patience)
        if not (lr > 0 and gradient_clip > 0 and warmup_epochs >= 0 and 0 < val_fraction < 1):
            raise ValueError(
                f"`lr`={lr} and `gradient_clip`={gradient_clip} must be positive, `warmup_epochs`="
                f"{warmup_epochs} not negative, `val_fraction`={val_fraction} between 0 and 1."
            )
        device = device_of(accelerator)
        self._accelerator = accelerator
        found = part_effects(self.adata, self.screen, self.genes, (TRAIN, VAL))
        in_train, held_out = found.part == TRAIN, self._held_out()
        self._require_known(found.conditions.take(np.flatnonzero(in_train)), held_out)
        known = self._known(found.conditions)
        rows, val = np.flatnonzero(known & in_train), np.flatnonzero(known & ~in_train)
        if not len(val):
            rows, val = self._shared_out(found.conditions, rows, val_fraction)
        train = found.conditions.take(rows)
        fixed = self._fix(train, found.effects[rows])
        self.is_trained, self.history = False, pd.DataFrame()
        self._fixed = fixed
        self._means = _means_by_context(
            found.conditions.take(np.flatnonzero(in_train)), found.effects[in_train]
        )
        predicted = np.flatnonzero(self._predictable(held_out))
        self._inputs(held_out.take(predicted))  # refuses before it trains what it cannot predict
        effects = found.effects.astype(np.float32)
        with own_random_state(self.settings["seed"]):
            self.module = self._build(torch.from_numpy(effects[rows].mean(axis=0)))
            history = descend(
                self.module,
                (self._inputs(train), torch.from_numpy(effects[rows])),
                (self._inputs(found.conditions.take(val)), torch.from_numpy(effects[val])),
                max_epochs=max_epochs,
                batch_size=batch_size,
                lr=lr,
                warmup_epochs=warmup_epochs,
                patience=patience,
                gradient_clip=gradient_clip,
                seed=self.settings["seed"],
                device=device,
                on_epoch=on_epoch,
            )
        self.history = pd.DataFrame(history).set_index("epoch")
        self.is_trained = True

    @abstractmethod
    def _known(self, conditions: Conditions) -> np.ndarray:
        """Whether there is anything to tell the network of each condition, bool ``(conditions,)``.

        Before training.
        """

    @abstractmethod
    def _predictable(self, conditions: Conditions) -> np.ndarray:
        """Which of them it can predict from what was fixed in training, bool ``(conditions,)``."""

    @abstractmethod
    def _require_known(self, train: Conditions, held_out: Conditions) -> None:
        """Say once which conditions to train on or to predict are not known, or refuse."""

    @abstractmethod
    def _fix(self, train: Conditions, effects: np.ndarray) -> dict[str, np.ndarray]:
        """What the network takes from its training conditions and effects before it trains.

        It is saved, and is ``self._fixed`` when :meth:`_build` and :meth:`_inputs` are called.
        """

    @abstractmethod
    def _build(self, mean: torch.Tensor) -> EffectModule:
        """The module, whose effects may start at the mean training effect ``(genes,)``."""

    @abstractmethod
    def _inputs(self, conditions: Conditions) -> tuple[torch.Tensor, ...]:
        """What the module sees of known conditions, which are along the first axis of each."""

    def _held_out(self) -> Conditions:
        """Perturbed conditions with cells in val or test."""
        every = screen_conditions(self.adata, self.screen)
        there = np.unique(every.codes[np.isin(split_of(self.adata, every), (VAL, TEST))])
        return every.take(there[~every.is_control[there]])

    def _shared_out(
        self, conditions: Conditions, rows: np.ndarray, fraction: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on and rows to validate on, of those to train on alone."""
        one_hot = self.vocabulary.embedding is None
        seed, held_out = self.settings["seed"], self._held_out()
        chosen = validation_conditions(
            conditions.take(rows), held_out, fraction, one_hot=one_hot, seed=seed
        )
        if chosen.any():
            return rows[~chosen], rows[chosen]
        if one_hot and len(rows):
            warnings.warn(
                "nothing can be spared to validate on: train applies each one-hot perturbation "
                "once. Training stops by the error on the training conditions themselves.",
                UserWarning,
                stacklevel=3,
            )
            return rows, rows
        raise ValueError(
            f"{len(rows)} condition(s) of which {type(self).__name__} knows something are too few "
            "to train on some and to validate on others."
        )

    def _respond(self, x0: np.ndarray, conditions: Conditions) -> Iterator[np.ndarray]:
        known = self._predictable(conditions)
        places = {str(name): i for i, name in enumerate(self._means["contexts"])}
        rows = iter(zip(*self._inputs(conditions.take(np.flatnonzero(known))), strict=True))
        for i, context in enumerate(context_names(conditions)):
            if known[i]:
                with torch.inference_mode():  # one by one: rows must not depend on each other
                    effect = self.module(*(value[None] for value in next(rows)))[0].numpy()
            else:
                effect = self._means["effects"][places.get(str(context), -1)]
            yield x0 + effect

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {WEIGHTS + k: v.numpy() for k, v in self.module.state_dict().items()}
        return weights | {FALLBACK + k: v for k, v in self._means.items()} | self._fixed

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        parts: dict[str, dict[str, np.ndarray]] = {WEIGHTS: {}, FALLBACK: {}, "": {}}
        for name, array in arrays.items():
            first = next(first for first in parts if name.startswith(first))
            parts[first][name.removeprefix(first)] = array
        self._means, self._fixed = parts[FALLBACK], parts[""]
        with own_random_state(0):
            self.module = self._build(torch.zeros(len(self.genes)))
        weights = {k: torch.from_numpy(v) for k, v in parts[WEIGHTS].items()}
        try:
            self.module.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"the saved weights do not fit this version of {type(self).__name__}: {error}"
            ) from error
        self.module.eval()


def _means_by_context(conditions: Conditions, effects: np.ndarray) -> dict[str, np.ndarray]:
    """Mean effect of each combination of covariates; the last is that of all."""
    of_row = context_names(conditions)
    names = np.unique(of_row)
    means = [effects[of_row == name].mean(axis=0) for name in names]
    means.append(effects.mean(axis=0))
    return {"contexts": names, "effects": np.array(means, dtype=np.float32)}
