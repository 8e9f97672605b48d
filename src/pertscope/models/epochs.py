"""Train until validation stalls, and keep the best weights."""

from __future__ import annotations

import copy
import math
import warnings
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from pertscope.models.interruption import TrainingInterruptedWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def train_epochs(
    module: nn.Module,
    epoch: Callable[[], float | None],
    validate: Callable[[], float],
    *,
    max_epochs: int,
    patience: int,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Call `epoch` and `validate` in turn, and leave `module` with its best weights.

    Ctrl-C ends it, with a warning.

    Parameters
    ----------
    module
        Network, in evaluation mode afterwards.
    epoch
        Trains for an epoch; may give the training loss.
    validate
        Gives the validation loss.
    max_epochs
        Epochs at most.
    patience
        Epochs without a lower validation loss after which it stops.
    on_epoch
        Called after each epoch with its number and its losses; what it raises ends the training.

    Returns
    -------
    The number and the losses of each epoch.

    Raises
    ------
    ValueError
        If a validation loss is not finite, or `max_epochs` or `patience` is less than 1.
    KeyboardInterrupt
        If it is interrupted before an epoch is done.
    """
    if max_epochs < 1 or patience < 1:
        raise ValueError(f"`max_epochs`={max_epochs} and `patience`={patience} must be at least 1.")
    best, lowest, since = copy.deepcopy(module.state_dict()), math.inf, 0
    history: list[dict[str, float]] = []
    bar = tqdm(range(max_epochs), desc="training", unit="epoch", leave=None)
    try:
        for number in bar:
            module.train()
            train_loss = epoch()
            module.eval()
            with torch.no_grad():
                loss = validate()
            if not math.isfinite(loss):
                raise ValueError(
                    f"the validation loss became {loss} in epoch {number}: lower `lr`."
                )
            since += 1
            if loss < lowest:
                best, lowest, since = copy.deepcopy(module.state_dict()), loss, 0
            losses = {} if train_loss is None else {"train_loss": train_loss}
            losses["val_loss"] = loss
            history.append({"epoch": number, **losses})
            bar.set_postfix({name: f"{value:.4g}" for name, value in losses.items()})
            if on_epoch is not None:
                on_epoch(number, losses)
            if since >= patience:
                break
    except KeyboardInterrupt:
        if not history:
            raise
        warnings.warn(
            f"training was interrupted after {len(history)} epoch(s): the best weights so far are "
            "kept.",
            TrainingInterruptedWarning,
            stacklevel=4,
        )
    finally:
        bar.close()
        module.load_state_dict(best)
        module.eval()
    return history


def device_of(accelerator: str) -> torch.device:
    """Where to train: ``"auto"`` is a GPU where there is one.

    Raises
    ------
    ValueError
        If it is none of ``"auto"``, ``"cpu"`` and ``"gpu"``, or there is no GPU.
    """
    if accelerator not in ("auto", "cpu", "gpu"):
        raise ValueError(f"`accelerator`={accelerator!r} must be 'auto', 'cpu' or 'gpu'.")
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("`accelerator`='gpu': torch finds none.")
    gpu = accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")
