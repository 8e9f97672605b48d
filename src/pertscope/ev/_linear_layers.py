"""Stacked linear layers, trained as the paper trains its probe and its decoder."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

WARM_UP_EPOCHS = 10
WARM_UP_START = 3e-5
WEIGHT_DECAY = 1e-6


def learning_rate(epoch: int, *, peak: float, n_epochs: int) -> float:
    """Learning rate of an epoch: linear from 3e-5 to `peak` in 10 epochs, then cosine to 0.

    Fewer than 20 epochs warm up for half of them.
    """
    warm_up = min(WARM_UP_EPOCHS, n_epochs // 2)
    if epoch < warm_up:
        return WARM_UP_START + (peak - WARM_UP_START) * epoch / max(1, warm_up - 1)
    return peak / 2 * (1 + math.cos(math.pi * (epoch - warm_up) / (n_epochs - warm_up)))


def fit_layers(
    x: np.ndarray,
    targets: Callable[[np.ndarray], np.ndarray],
    *,
    widths: Sequence[int],
    loss: str,
    peak: float,
    n_epochs: int,
    batch_size: int,
    seed: int,
    device: str,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train linear layers, one behind the other, by AdamW.

    Parameters
    ----------
    x
        Inputs ``(rows, d)``.
    targets
        Targets of some rows: classes int64 ``(n,)``, or values float32 ``(n, widths[-1])``.
    widths
        Outputs of each layer.
    loss
        ``"cross_entropy"`` or ``"mse_loss"``, of :mod:`torch.nn.functional`.
    peak
        Highest learning rate; see :func:`learning_rate`.
    n_epochs, batch_size
        Passes over the rows in random order, and rows per step.
    seed
        Seed of the first weights and of the order.
    device
        ``"auto"`` is a GPU where there is one; otherwise a name that torch knows.

    Returns
    -------
    Weights ``(inputs, outputs)`` and biases ``(outputs,)`` of each layer, float64.
    """
    import torch

    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    generator = torch.Generator().manual_seed(seed)
    layers = _first_weights([x.shape[1], *widths], generator, where)
    parameters = [p for layer in layers for p in layer]
    optimizer = torch.optim.AdamW(parameters, lr=peak, weight_decay=WEIGHT_DECAY)
    inputs = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(where)
    criterion = getattr(torch.nn.functional, loss)
    for epoch in range(n_epochs):
        optimizer.param_groups[0]["lr"] = learning_rate(epoch, peak=peak, n_epochs=n_epochs)
        for rows in torch.randperm(len(x), generator=generator).split(batch_size):
            found = inputs[rows.to(where)]
            for weight, bias in layers:
                found = torch.addmm(bias, found, weight)
            wanted = torch.from_numpy(targets(rows.numpy())).to(where)
            optimizer.zero_grad(set_to_none=True)
            criterion(found, wanted).backward()
            optimizer.step()
    return [
        (w.detach().cpu().numpy().astype(np.float64), b.detach().cpu().numpy().astype(np.float64))
        for w, b in layers
    ]


def _first_weights(
    sizes: Sequence[int], generator: torch.Generator, device: str
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Uniform within 1 / sqrt(inputs), as torch's own layers, from a generator of their own."""
    import torch

    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        bound = 1 / math.sqrt(n_in)
        drawn = (torch.empty(n_in, n_out), torch.empty(n_out))
        weight, bias = (
            t.uniform_(-bound, bound, generator=generator).to(device).requires_grad_()
            for t in drawn
        )
        layers.append((weight, bias))
    return layers
