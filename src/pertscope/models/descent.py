"""Train a network of effects by Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pertscope.models.epochs import train_epochs

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope.nn.effect_module import EffectModule

    Examples = tuple[tuple[torch.Tensor, ...], torch.Tensor]


def descend(
    module: EffectModule,
    train: Examples,
    val: Examples,
    *,
    max_epochs: int,
    batch_size: int,
    lr: float,
    warmup_epochs: int,
    patience: int,
    gradient_clip: float,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[int, dict[str, float]], None] | None,
) -> list[dict[str, float]]:
    """Leave `module` on the CPU with the weights of the lowest validation loss.

    The order of conditions depends on `seed` alone; what the module draws comes from torch's
    generator.

    Parameters
    ----------
    module
        Network.
    train, val
        Inputs and effects of conditions, along the first axis of each.
    max_epochs, patience, on_epoch
        See :func:`pertscope.models.epochs.train_epochs`.
    batch_size
        Conditions per step.
    lr, warmup_epochs
        Learning rate, and epochs in which it grows to that.
    gradient_clip
        Largest norm of a gradient.
    device
        Where to train.

    Returns
    -------
    Number, losses and learning rate of each epoch.
    """
    rng = np.random.default_rng(seed)
    rates: list[float] = []
    module.to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=lr)
    inputs, effects = _on(device, train)

    def epoch() -> float:
        rates.append(lr * min(1.0, (len(rates) + 1) / (warmup_epochs + 1)))
        optimizer.param_groups[0]["lr"] = rates[-1]
        order, total = rng.permutation(len(effects)), 0.0
        for start in range(0, len(order), batch_size):
            rows = torch.as_tensor(order[start : start + batch_size], device=device)
            optimizer.zero_grad()
            loss = module.loss(tuple(x[rows] for x in inputs), effects[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), gradient_clip)
            optimizer.step()
            total += loss.item() * len(rows)
        return total / len(order)

    val_inputs, val_effects = _on(device, val)

    def validate() -> float:
        total = 0.0
        for start in range(0, len(val_effects), batch_size):
            rows = slice(start, start + batch_size)
            found = module.validation_loss(tuple(x[rows] for x in val_inputs), val_effects[rows])
            total += found.item() * len(val_effects[rows])
        return total / len(val_effects)

    try:
        history = train_epochs(
            module,
            epoch,
            validate,
            max_epochs=max_epochs,
            patience=patience,
            on_epoch=on_epoch,
        )
    finally:
        module.to("cpu")
    return [losses | {"lr": rate} for losses, rate in zip(history, rates, strict=False)]


def _on(device: torch.device, examples: Examples) -> Examples:
    inputs, effects = examples
    return tuple(x.to(device) for x in inputs), effects.to(device)
