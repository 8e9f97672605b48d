"""The base of response models that are networks."""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TRAIN, VAL
from pertscope._core.matrix import is_backed, matrix_of
from pertscope._core.splits import split_of
from pertscope.data.matched_batches import MatchedBatches
from pertscope.data.rows import Rows
from pertscope.models.adversarial_training import AdversarialPlan
from pertscope.models.base import ResponseModel
from pertscope.models.training import DescentPlan, TrainingPlan, fit
from pertscope.nn.adversarial_module import AdversarialModule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from pertscope._core.conditions import Conditions
    from pertscope.nn.response_module import ResponseModule


class NetworkModel(ResponseModel):
    """A response model whose response is a torch module.

    Trains on pairs of a perturbed cell and a random control cell of the same covariates, drawn
    anew in every epoch, by the loss of the module.
    """

    module: ResponseModule

    def __init__(self, adata: AnnData, *, seed: int, **settings: Any) -> None:
        super().__init__(adata, seed=seed, **settings)
        with _own_random_state(seed):
            self.module = self._build()

    def train(
        self,
        *,
        max_epochs: int = 500,
        batch_size: int = 256,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        early_stopping: bool = True,
        patience: int = 50,
        lr_patience: int = 15,
        gradient_clip: float | None = None,
        accelerator: str = "auto",
    ) -> None:
        """Train on the train part; the weights with the best validation loss are kept.

        Parameters
        ----------
        max_epochs
            Most passes over the perturbed cells of the train part.
        batch_size
            Cells per step.
        lr, weight_decay
            Of Adam. The rate falls to a fifth where validation stalls.
        early_stopping
            Stop after `patience` epochs without a better validation loss; needs a val part.
        patience, lr_patience
            Epochs without improvement before training stops, and before the rate falls.
        gradient_clip
            Largest norm of a gradient; none by default.
        accelerator
            ``"auto"`` takes a GPU where there is one; otherwise Lightning's names.

        Raises
        ------
        ValueError
            If the matrix is not in memory, or early stopping has no val part.
        """
        if max_epochs < 1 or batch_size < 1:
            raise ValueError(
                f"`max_epochs`={max_epochs} and `batch_size`={batch_size} must be positive."
            )
        x = matrix_of(self.adata, self.screen.layer)
        if is_backed(x):
            raise ValueError(
                "training reads cells at random: load the matrix with `adata.to_memory()`."
            )
        conditions = screen_conditions(self.adata, self.screen)
        part = split_of(self.adata, conditions)
        rows = Rows(x)
        seed = self.settings["seed"]
        train = _batches(rows, conditions, part == TRAIN, batch_size, seed, shuffle=True)
        if train is None:
            raise ValueError("the train part holds no perturbed cells.")
        val = _batches(rows, conditions, part == VAL, max(batch_size, 1024), seed, shuffle=False)
        if val is None and early_stopping:
            raise ValueError(
                "early stopping needs perturbed cells in 'val': split again, or pass "
                "`early_stopping=False` with the `max_epochs` that you want."
            )
        with _own_random_state(seed + 1), _quiet_lightning():
            adversarial = isinstance(self.module, AdversarialModule)
            plan_class: type[TrainingPlan] = AdversarialPlan if adversarial else DescentPlan
            plan = plan_class(
                self.module,
                *self._encode(conditions, part),
                lr=lr,
                weight_decay=weight_decay,
                lr_patience=lr_patience,
                gradient_clip=gradient_clip,
            )
            history = fit(
                plan,
                train,
                val,
                max_epochs=max_epochs,
                patience=patience if early_stopping else None,
                accelerator=accelerator,
            )
        self.history = pd.DataFrame(history).set_index("epoch")
        self.is_trained = True

    @abstractmethod
    def _build(self) -> ResponseModule:
        """The module, from ``self.settings``, ``self.genes`` and ``self.vocabulary``."""

    def _encode(self, conditions: Conditions, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of all conditions; zeros for those that training does not use."""
        used = np.unique(conditions.codes[(part == TRAIN) | (part == VAL)])
        chosen = conditions.take(used)
        n = len(conditions)
        perturbations = np.zeros((n, len(self.vocabulary.perturbations)), np.float32)
        covariates = np.zeros((n, self.vocabulary.n_covariates), np.float32)
        perturbations[used] = self.vocabulary.encode_perturbations(chosen)
        covariates[used] = self.vocabulary.encode_covariates(chosen)
        return perturbations, covariates

    def _respond(self, x0: np.ndarray, conditions: Conditions) -> Iterator[np.ndarray]:
        perturbations = torch.from_numpy(self.vocabulary.encode_perturbations(conditions))
        covariates = torch.from_numpy(self.vocabulary.encode_covariates(conditions))
        with torch.inference_mode():
            control = torch.from_numpy(np.ascontiguousarray(x0, dtype=np.float32))
            state = self.module.encode(control, covariates[:1])
            for p in perturbations:
                yield self.module.decode(state, p[None], covariates[:1]).numpy()

    def _arrays(self) -> dict[str, np.ndarray]:
        return {k: v.numpy() for k, v in self.module.state_dict().items()}

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        with _own_random_state(0):
            self.module = self._build()
        self.module.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
        self.module.eval()


def _batches(
    rows: Rows,
    conditions: Conditions,
    chosen: np.ndarray,
    batch_size: int,
    seed: int,
    *,
    shuffle: bool,
) -> MatchedBatches | None:
    """Batches of the perturbed among the chosen cells, matched to chosen controls."""
    cells = np.flatnonzero(chosen & ~conditions.is_control[conditions.codes])
    if len(cells) == 0:
        return None
    codes = conditions.codes[cells]
    controls = {
        int(c): np.flatnonzero(chosen & (conditions.codes == conditions.control_of[c]))
        for c in np.unique(codes)
    }
    lost = [conditions.index[c] for c, r in controls.items() if len(r) == 0]
    if lost:
        raise ValueError(f"conditions without controls in their part of the split: {lost[:5]}.")
    return MatchedBatches(
        rows, cells, codes, controls, batch_size=batch_size, shuffle=shuffle, seed=seed
    )


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    """Draw from torch's generator under a seed, and leave it as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Leave out Lightning's notes on the hardware it found."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
