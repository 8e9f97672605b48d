"""Stacked linear layers, trained as the paper trains its probe and its decoder."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.threads import in_threads
from pertscope.ev._linear_steps import descend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

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
    targets: Callable[[np.ndarray], Any],
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
        Targets of some rows: classes int64 ``(n,)``, or values float32 ``(n, widths[-1])``, dense
        or CSR.
    widths
        Outputs of each layer.
    loss
        ``"cross_entropy"`` of one layer or ``"mse_loss"`` of two.
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
    rng = np.random.default_rng(seed)
    layers = [_first_weights(*sizes, rng) for sizes in itertools.pairwise([x.shape[1], *widths])]
    x = np.ascontiguousarray(x, dtype=np.float32)

    def steps() -> Iterator[tuple[float, np.ndarray]]:
        for epoch in range(n_epochs):
            rate = learning_rate(epoch, peak=peak, n_epochs=n_epochs)
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch_size):
                yield rate, order[start : start + batch_size]

    how: dict[str, Any] = {"loss": loss, "steps": steps(), "weight_decay": WEIGHT_DECAY}
    where = _device(device)
    if where == "cpu":
        descend(x, targets, layers, **how)
    else:
        descend_on(where, x, targets, layers, **how)
    return [(w[:-1].astype(np.float64), w[-1].astype(np.float64)) for w in layers]


def _first_weights(n_in: int, n_out: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform within 1 / sqrt(inputs), as torch's own layers; float32, the bias the last row."""
    bound = 1 / math.sqrt(n_in)
    return rng.uniform(-bound, bound, (n_in + 1, n_out)).astype(np.float32)


def for_each_seed(
    judge: Callable[..., list[Any]], sides: Iterable[tuple[Any, ...]], *, device: str
) -> list[Any]:
    """Rows of all seeds: several at once on a CPU, one after the other where memory is a GPU's."""
    at_once = _device(device) == "cpu"
    found = in_threads(judge, sides) if at_once else itertools.starmap(judge, sides)
    return [row for rows in found for row in rows]


def _device(name: str) -> str:
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def descend_on(
    device: str,
    x: np.ndarray,
    targets: Callable[[np.ndarray], Any],
    layers: list[np.ndarray],
    *,
    loss: str,
    steps: Iterator[tuple[float, np.ndarray]],
    weight_decay: float,
) -> None:
    """What :func:`~pertscope.ev._linear_steps.descend` does, by torch, as on a GPU."""
    import torch

    split = [
        tuple(torch.tensor(w, device=device).requires_grad_() for w in (layer[:-1], layer[-1]))
        for layer in layers
    ]
    optimizer = torch.optim.AdamW([w for pair in split for w in pair], weight_decay=weight_decay)
    inputs, criterion = torch.from_numpy(x).to(device), getattr(torch.nn.functional, loss)
    for rate, rows in steps:
        optimizer.param_groups[0]["lr"] = rate
        found = inputs[torch.from_numpy(rows).to(device)]
        for weight, bias in split:
            found = torch.addmm(bias, found, weight)
        optimizer.zero_grad(set_to_none=True)
        criterion(found, _tensor(targets(rows)).to(device)).backward()
        optimizer.step()
    for layer, (weight, bias) in zip(layers, split, strict=True):
        layer[:-1], layer[-1] = weight.detach().cpu().numpy(), bias.detach().cpu().numpy()


def _tensor(target: Any) -> torch.Tensor:
    import torch

    return torch.from_numpy(target.toarray() if sp.issparse(target) else target)
