"""What networks do in a training step, as Lightning wants it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias, final

import lightning.pytorch as L
import numpy as np
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from pertscope.data.rows import dense

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pertscope.data.matched_batches import Batch
    from pertscope.nn.response_module import ResponseModule

Pairs: TypeAlias = tuple[torch.Tensor, ...]
"""Control cells, perturbed cells, the perturbations and covariates of the latter; then, where it is
not their expression, what an encoder sees of both."""


class TrainingPlan(L.LightningModule):
    """How a module trains: what is common to all ways.

    A subclass says what a step does and with which optimisers, the module's first.
    """

    perturbations: torch.Tensor
    covariates: torch.Tensor

    warmup_epochs: int = 0
    """Epochs before the training proper: what is best in them is forgotten when it begins."""

    def __init__(
        self,
        module: ResponseModule,
        perturbations: np.ndarray,
        covariates: np.ndarray,
        *,
        lr: float,
        weight_decay: float,
        lr_patience: int,
        gradient_clip: float | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.module = module
        self.seed = seed
        self.first_epoch = 0
        self.register_buffer("perturbations", torch.from_numpy(perturbations))
        self.register_buffer("covariates", torch.from_numpy(covariates))
        self.lr, self.weight_decay, self.lr_patience = lr, weight_decay, lr_patience
        self.gradient_clip = gradient_clip
        self.turns = 0
        self.means: dict[str, float] = {}

    @abstractmethod
    def _step(self, pairs: Pairs) -> torch.Tensor | None:
        """Lower the loss of a batch, or return it for Lightning to do so."""

    @abstractmethod
    def configure_optimizers(self) -> Any:
        """Optimisers and schedules, as Lightning wants them."""

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Send the stored values, still sparse; Lightning's own search of the batch costs more."""
        return batch.to(device) if device.type != "cpu" else batch

    @property
    def epoch(self) -> int:
        """Number of this epoch, those before a resumed training included."""
        return self.first_epoch + self.current_epoch

    def on_train_epoch_start(self) -> None:
        """Start new means."""
        self._total: dict[str, torch.Tensor] = {}
        self._n: dict[str, int] = {}
        self._n_steps = 0
        self._first_failure = torch.tensor(torch.inf, device=self.device)

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor | None:
        """Train on a batch; what is drawn depends on the seed and the epoch alone."""
        if batch_index == 0:  # not before: Lightning draws from the same generator
            state = np.random.SeedSequence(
                [self.seed, self.epoch, self.global_rank]
            ).generate_state(1)
            torch.manual_seed(int(state[0]))
        return self._step(self._pairs(batch))

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the loss of a batch."""
        loss = self.validated(batch)
        self.log("val_loss", loss, batch_size=len(batch.condition), sync_dist=True)

    def validated(self, batch: Batch) -> torch.Tensor:
        """Validation loss of a batch."""
        return self.module.validation_loss(*self._pairs(batch))

    @property
    def train_losses(self) -> dict[str, float]:
        """Means over the cells of this epoch, weights as they were at each step.

        A loss that no step of this epoch had stays as it was.
        """
        self.means |= {name: float(total / self._n[name]) for name, total in self._total.items()}
        return self.means

    def first_failure(self) -> str:
        """Where a loss of this epoch was first no number, and what may help."""
        first = float(self._first_failure)
        where = f", first in batch {first:.0f} of {self._n_steps}"
        if first == float("inf"):
            where = " in validation"
        return (
            f"{where}: lower `lr`, which is {self.lr}, or pass `gradient_clip=1.0`; and check the "
            "registered layer for extreme values."
        )

    def _pairs(self, batch: Batch) -> Pairs:
        c = batch.condition
        pairs = dense(batch.x0), dense(batch.x), self.perturbations[c], self.covariates[c]
        if batch.seen0 is None or batch.seen is None:
            return pairs
        return *pairs, dense(batch.seen0), dense(batch.seen)

    def _record(self, name: str, loss: torch.Tensor, n: int) -> None:
        """Remember a loss of `n` cells; Lightning's log, once per step, costs more."""
        # one number that stays on the device: a list of all losses holds much more than itself
        step = torch.where(torch.isfinite(loss.detach()), torch.inf, self._n_steps)
        self._first_failure = torch.minimum(self._first_failure, step)
        self._n_steps += 1
        self._total[name] = self._total.get(name, 0) + loss.detach() * n
        self._n[name] = self._n.get(name, 0) + n

    def _adam(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=self.lr, weight_decay=self.weight_decay, fused=True)

    def _plateau(self, optimizer: torch.optim.Optimizer) -> ReduceLROnPlateau:
        """Rate that falls where validation stalls."""
        return ReduceLROnPlateau(optimizer, factor=0.2, patience=self.lr_patience)

    def _scheduled(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The only optimiser, with that rate, as Lightning wants them."""
        schedule = {"scheduler": self._plateau(optimizer), "monitor": "val_loss", "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _own_loss(self, pairs: Pairs) -> torch.Tensor:
        """The module's loss of a batch, remembered."""
        loss = self.module.loss(*pairs)
        self._record("train_loss", loss, len(pairs[0]))
        return loss


@final
class DescentPlan(TrainingPlan):
    """Every step lowers the module's loss."""

    def _step(self, pairs: Pairs) -> torch.Tensor:
        return self._own_loss(pairs)

    def configure_optimizers(self) -> Any:
        """Adam with ReduceLROnPlateau on the validation loss."""
        return self._scheduled(self._adam(self.module.parameters()))
