"""What watches a training: best weights, history, progress, checkpoints, early stopping."""

from __future__ import annotations

import copy
import math
import time
from typing import TYPE_CHECKING, Any, TypeAlias, cast, final

import lightning.pytorch as L
import torch
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope.models.checkpoint import Checkpoint
    from pertscope.models.training import TrainingPlan

OnEpoch: TypeAlias = "Callable[[int, dict[str, float]], None]"
"""Called after each epoch with its number and losses; what it raises ends the training."""


@final
class KeepBest(L.Callback):
    """Keep the best weights and the history, show progress, stop where validation stalls.

    With a checkpoint it also keeps, now and then, all that the next epoch starts from.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        patience: int | None,
        on_epoch: OnEpoch | None = None,
        checkpoint: Checkpoint | None = None,
        earlier: list[dict[str, float]] | None = None,
    ) -> None:
        self.plan = plan
        self.patience = patience
        self.on_epoch = on_epoch
        self.checkpoint = checkpoint
        self.history = list(earlier or [])
        plan.first_epoch = len(self.history)
        self.best_loss = float("inf")
        self.best = copy.deepcopy(plan.module.state_dict())  # to go back to, should all go wrong
        self._since_best = 0
        self._written = time.monotonic()
        self._resumed = None if checkpoint is None else checkpoint.read()
        if self._resumed is not None:
            self._go_back_to(self._resumed)
        self.bar: tqdm | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the progress bar."""
        n, hide = len(self.history), not trainer.is_global_zero
        total = (trainer.max_epochs or 0) + n
        # within another bar, of tuning say, it goes when it ends
        self.bar = tqdm(
            total=total, initial=n, desc="training", unit="epoch", leave=None, disable=hide
        )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put back what the optimisers knew."""
        if self._resumed is not None:
            for place, optimizer in enumerate(trainer.optimizers):
                optimizer.load_state_dict(self._resumed["optimizers"][place])
            for place, schedule in enumerate(trainer.lr_scheduler_configs):
                schedule.scheduler.load_state_dict(self._resumed["schedules"][place])
            self._resumed = None

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write a checkpoint, where one is due: the schedules have seen the last epoch by now."""
        point = self.checkpoint
        due = (
            trainer.is_global_zero
            and point is not None
            and time.monotonic() - self._written >= point.seconds
        )
        if point is not None and due and self.history:
            point.write(self._state(trainer))
            self._written = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Judge the epoch: Lightning has validated by now."""
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        metrics = {**self.plan.train_losses, **metrics}
        if trainer.world_size > 1:  # all must come to the same judgement
            metrics = {k: _mean(trainer, v) for k, v in metrics.items()}
        epoch = self.plan.epoch
        self.history.append(
            {"epoch": epoch, **metrics, "lr": trainer.optimizers[0].param_groups[0]["lr"]}
        )
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix({k: f"{v:.4g}" for k, v in metrics.items()})
        loss = metrics.get("val_loss", metrics["train_loss"])
        if not math.isfinite(loss):
            raise ValueError(f"the loss became {loss} in epoch {epoch}{self.plan.first_failure()}")
        if epoch == self.plan.warmup_epochs:
            self.best_loss, self._since_best = float("inf"), 0
        if loss < self.best_loss:
            self.best_loss, self._since_best = loss, 0
            self.best = copy.deepcopy(self.plan.module.state_dict())
        else:
            self._since_best += 1
            stalls = self.patience is not None and self._since_best >= self.patience
            if stalls and epoch >= self.plan.warmup_epochs:
                trainer.should_stop = True
        if self.on_epoch is not None:
            self.on_epoch(epoch, metrics)

    def close(self) -> None:
        """Close the progress bar."""
        if self.bar is not None:
            self.bar.close()

    def _state(self, trainer: L.Trainer) -> dict[str, Any]:
        """All that the next epoch depends on: tensors and what JSON holds."""
        return {
            "weights": self.plan.module.state_dict(),
            "best": self.best,
            "best_loss": self.best_loss,
            "since_best": self._since_best,
            "history": self.history,
            "turns": self.plan.turns,
            "means": self.plan.means,
            "optimizers": [o.state_dict() for o in trainer.optimizers],
            "schedules": [c.scheduler.state_dict() for c in trainer.lr_scheduler_configs],
        }

    def _go_back_to(self, state: dict[str, Any]) -> None:
        self.plan.module.load_state_dict(state["weights"])
        self.best, self.best_loss = state["best"], state["best_loss"]
        self._since_best, self.history = state["since_best"], state["history"]
        self.plan.turns, self.plan.means = state["turns"], state["means"]
        self.plan.first_epoch = len(cast("list[Any]", self.history))


def _mean(trainer: L.Trainer, value: float) -> float:
    """Mean over the processes that train together."""
    here = torch.tensor(value, device=trainer.strategy.root_device)
    return float(cast("torch.Tensor", trainer.strategy.reduce(here, reduce_op="mean")))
