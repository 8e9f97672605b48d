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
    epoch: Callable[[], None],
    validate: Callable[[], float],
    *,
    max_epochs: int,
    patience: int,
) -> None:
    """Call `epoch` and `validate` in turn, and leave `module` with its best weights.

    Ctrl-C ends it, with a warning.

    Parameters
    ----------
    module
        Network, in evaluation mode afterwards.
    epoch
        Trains for an epoch.
    validate
        Gives the validation loss.
    max_epochs
        Epochs at most.
    patience
        Epochs without a lower validation loss after which it stops.

    Raises
    ------
    ValueError
        If a validation loss is not finite, or `max_epochs` or `patience` is less than 1.
    """
    if max_epochs < 1 or patience < 1:
        raise ValueError(f"`max_epochs`={max_epochs} and `patience`={patience} must be at least 1.")
    best, lowest, since = copy.deepcopy(module.state_dict()), math.inf, 0
    bar = tqdm(range(max_epochs), desc="training", unit="epoch", leave=None)
    try:
        for number in bar:
            module.train()
            epoch()
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
            bar.set_postfix(val_loss=f"{loss:.4g}")
            if since >= patience:
                break
    except KeyboardInterrupt:
        warnings.warn(
            "training was interrupted: the best weights so far are kept.",
            TrainingInterruptedWarning,
            stacklevel=4,
        )
    finally:
        bar.close()
    module.load_state_dict(best)
    module.eval()


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
