"""The Lightning training loop of all networks."""

from __future__ import annotations

import copy
import math
import signal
import threading
import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias, final

import lightning.pytorch as L
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from pertscope.data.rows import dense

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from pertscope.data.matched_batches import Batch, MatchedBatches
    from pertscope.nn.response_module import ResponseModule

Pairs: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Control cells, perturbed cells, and the perturbations and covariates of the latter."""


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
    ) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("perturbations", torch.from_numpy(perturbations))
        self.register_buffer("covariates", torch.from_numpy(covariates))
        self.lr, self.weight_decay, self.lr_patience = lr, weight_decay, lr_patience
        self.gradient_clip = gradient_clip
        self._means: dict[str, float] = {}

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

    def on_train_epoch_start(self) -> None:
        """Start new means."""
        self._total: dict[str, torch.Tensor] = {}
        self._n: dict[str, int] = {}

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor | None:
        """Train on a batch."""
        return self._step(self._pairs(batch))

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the loss of a batch."""
        loss = self.module.loss(*self._pairs(batch))
        self.log("val_loss", loss, batch_size=len(batch.condition))

    @property
    def train_losses(self) -> dict[str, float]:
        """Means over the cells of this epoch, weights as they were at each step.

        A loss that no step of this epoch had stays as it was.
        """
        self._means |= {name: float(total / self._n[name]) for name, total in self._total.items()}
        return self._means

    def _pairs(self, batch: Batch) -> Pairs:
        c = batch.condition
        return dense(batch.x0), dense(batch.x), self.perturbations[c], self.covariates[c]

    def _record(self, name: str, loss: torch.Tensor, n: int) -> None:
        """Remember a loss of `n` cells; Lightning's log, once per step, costs more."""
        self._total[name] = self._total.get(name, 0) + loss.detach() * n
        self._n[name] = self._n.get(name, 0) + n

    def _adam(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=self.lr, weight_decay=self.weight_decay, fused=True)

    def _plateau(self, optimizer: torch.optim.Optimizer) -> ReduceLROnPlateau:
        """Rate that falls where validation stalls."""
        return ReduceLROnPlateau(optimizer, factor=0.2, patience=self.lr_patience)


@final
class DescentPlan(TrainingPlan):
    """Every step lowers the module's loss."""

    def _step(self, pairs: Pairs) -> torch.Tensor:
        loss = self.module.loss(*pairs)
        self._record("train_loss", loss, len(pairs[0]))
        return loss

    def configure_optimizers(self) -> Any:
        """Adam with ReduceLROnPlateau on the validation loss."""
        optimizer = self._adam(self.module.parameters())
        schedule = {"scheduler": self._plateau(optimizer), "monitor": "val_loss", "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class KeepBest(L.Callback):
    """Keep the best weights and the history, show progress, stop where validation stalls."""

    def __init__(self, plan: TrainingPlan, patience: int | None) -> None:
        self.plan = plan
        self.patience = patience
        self.history: list[dict[str, float]] = []
        self.best_loss = float("inf")
        self.best = copy.deepcopy(plan.module.state_dict())  # to go back to, should all go wrong
        self._since_best = 0
        self.bar: tqdm | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the progress bar."""
        self.bar = tqdm(total=trainer.max_epochs, desc="training", unit="epoch")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Judge the epoch: Lightning has validated by now."""
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        metrics = {**self.plan.train_losses, **metrics}
        row = {"epoch": trainer.current_epoch, **metrics}
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        self.history.append(row)
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix({k: f"{v:.4g}" for k, v in metrics.items()})
        loss = metrics.get("val_loss", metrics["train_loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss became {loss} in epoch {trainer.current_epoch}: lower `lr`, and check "
                "the registered layer for extreme values."
            )
        if trainer.current_epoch == self.plan.warmup_epochs:
            self.best_loss, self._since_best = float("inf"), 0
        if loss < self.best_loss:
            self.best_loss, self._since_best = loss, 0
            self.best = copy.deepcopy(self.plan.module.state_dict())
        else:
            self._since_best += 1
            stalls = self.patience is not None and self._since_best >= self.patience
            if stalls and trainer.current_epoch >= self.plan.warmup_epochs:
                trainer.should_stop = True

    def close(self) -> None:
        """Close the progress bar."""
        if self.bar is not None:
            self.bar.close()


def fit(
    plan: TrainingPlan,
    train: MatchedBatches,
    val: MatchedBatches | None,
    *,
    max_epochs: int,
    patience: int | None,
    accelerator: str,
) -> list[dict[str, float]]:
    """Train `plan`, leave the best weights in its module, and return the history by epoch.

    An interrupt (Ctrl-C) ends the training early; the best weights so far are kept. So they are
    where training fails.
    """
    best = KeepBest(plan, patience)
    plan.module.train()  # Lightning leaves it as the last prediction did
    handler = signal.getsignal(signal.SIGINT)
    with warnings.catch_warnings():
        # batches are built in this process: workers would only copy the matrix
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*`IterableDataset` has `__len__` defined.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        # training without a val part is asked for by `early_stopping=False`
        warnings.filterwarnings("ignore", message=".*`validation_step` but have no `val_dat.*")
        warnings.filterwarnings("ignore", message=".*conditioned on metric val_loss which is not.*")
        # Lightning 2.6 against torch 2.13
        warnings.filterwarnings(
            "ignore", message=".*isinstance.treespec, LeafSpec.. is deprecated.*"
        )
        trainer = L.Trainer(
            max_epochs=max_epochs,
            accelerator=accelerator,
            devices=1,
            callbacks=[best],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            gradient_clip_val=plan.gradient_clip if plan.automatic_optimization else None,
        )
        loader = DataLoader(train, batch_size=None)
        val_loader = None if val is None else DataLoader(val, batch_size=None)
        try:
            trainer.fit(plan, loader, val_loader)
        except SystemExit as end:
            # Lightning ends the whole process on Ctrl-C: a notebook must live on
            if not isinstance(end.__context__, KeyboardInterrupt):
                raise  # SIGTERM, say
            if not best.history:
                raise KeyboardInterrupt from None
            warnings.warn(
                f"training was interrupted after {len(best.history)} epoch(s): the best weights so "
                "far are kept.",
                UserWarning,
                stacklevel=4,
            )
        finally:
            best.close()
            plan.module.load_state_dict(best.best)
            plan.module.to("cpu").eval()
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)
    return best.history
