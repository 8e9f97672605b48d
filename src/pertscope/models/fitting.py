"""The Lightning training loop of all networks."""

from __future__ import annotations

import signal
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import lightning.pytorch as L
import torch
from torch.utils.data import DataLoader

from pertscope.models.interruption import TrainingInterruptedWarning
from pertscope.models.keep_best import KeepBest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pertscope.data.matched_batches import MatchedBatches
    from pertscope.models.checkpoint import Checkpoint
    from pertscope.models.keep_best import OnEpoch
    from pertscope.models.training import TrainingPlan

# Lightning's and torch's, beside what a training of ours does on purpose
HARMLESS = (
    ".*does not have many workers.*",  # batches are built here: workers would copy the matrix
    ".*`IterableDataset` has `__len__` defined.*",
    ".*GPU available but not used.*",
    # training without a val part is asked for by `early_stopping=False`
    ".*`validation_step` but have no `val_dat.*",
    ".*conditioned on metric val_loss which is not.*",
    ".*isinstance.treespec, LeafSpec.. is deprecated.*",  # Lightning 2.6 against torch 2.13
)


def fit(
    plan: TrainingPlan,
    train: MatchedBatches,
    val: MatchedBatches | None,
    *,
    max_epochs: int,
    patience: int | None,
    accelerator: str,
    devices: int,
    strategy: str,
    on_epoch: OnEpoch | None,
    checkpoint: Checkpoint | None,
    earlier: list[dict[str, float]],
) -> list[dict[str, float]]:
    """Train `plan`, leave the best weights in its module, and return the history by epoch.

    An interrupt (Ctrl-C) ends the training early; the best weights so far are kept. So they are
    where training fails. After `earlier` epochs it goes on from there. With a checkpoint it goes on
    where a killed training stopped, and removes it when it ends.
    """
    interrupted = False
    handler = signal.getsignal(signal.SIGINT)
    with warnings.catch_warnings():
        for message in HARMLESS:
            warnings.filterwarnings("ignore", message=message)
        trainer = L.Trainer(
            accelerator=accelerator,
            devices=devices,
            strategy=strategy,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            gradient_clip_val=plan.gradient_clip if plan.automatic_optimization else None,
        )
        # the model is touched only now, when nothing that was asked for is refused any more
        best = KeepBest(plan, patience, on_epoch, checkpoint, earlier)
        if earlier and val is not None and len(best.history) == len(earlier):
            best.best_loss = _validated(plan, val)  # to go on must not end worse
        train.epoch = plan.first_epoch
        plan.module.train()  # Lightning leaves it as the last prediction did
        trainer.callbacks.append(best)  # type: ignore[attr-defined]
        trainer.fit_loop.max_epochs = max(len(earlier) + max_epochs - plan.first_epoch, 0)
        loader = DataLoader(train, batch_size=None)
        val_loader = None if val is None else DataLoader(val, batch_size=None)
        try:
            with _memory_explained(train.batch_size):
                trainer.fit(plan, loader, val_loader)
        except SystemExit as end:
            # Lightning ends the whole process on Ctrl-C: a notebook must live on
            if not isinstance(end.__context__, KeyboardInterrupt):
                raise  # SIGTERM, say
            if len(best.history) == len(earlier):
                raise KeyboardInterrupt from None
            interrupted = True
            done = len(best.history) - len(earlier)
            warnings.warn(
                f"training was interrupted after {done} epoch(s): the best weights so far are "
                "kept.",
                TrainingInterruptedWarning,
                stacklevel=4,
            )
        finally:
            best.close()
            plan.module.load_state_dict(best.best)
            plan.module.to("cpu").eval()
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)
    if checkpoint is not None and not interrupted and trainer.is_global_zero:
        checkpoint.remove()
    return best.history


def _validated(plan: TrainingPlan, val: MatchedBatches) -> float:
    """Validation loss of the weights as they are."""
    plan.module.eval()
    with torch.inference_mode():
        losses = [(plan.validated(batch), len(batch.condition)) for batch in val]
    return float(sum(loss * n for loss, n in losses) / sum(n for _, n in losses))


@contextmanager
def _memory_explained(batch_size: int) -> Iterator[None]:
    """Say what to lower where a device has no memory left."""
    try:
        yield
    except RuntimeError as error:  # of which torch's own error of the GPU is one
        out = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not out:
            raise
        raise MemoryError(
            f"the device has no memory left to train: lower `batch_size`, which is {batch_size}, "
            "or the model's `n_hidden` and `n_layers`; or select fewer genes with "
            "`ps.pp.select_features`."
        ) from error
