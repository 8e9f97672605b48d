"""Train a gene encoder to tell what is hidden of control cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pertscope._core.keys import CONTROL_MEAN
from pertscope._core.matrix import dense_rows, matrix_of
from pertscope.models.epochs import device_of, train_epochs
from pertscope.models.isolation import own_random_state
from pertscope.nn.gene_encoder import GeneEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.screen import Screen

VAL_SHARE = 0.1
HIDDEN = 0.3
"""Share of the genes of a cell that is hidden."""
MAX_CELLS = 20_000
"""Cells that are enough."""


def cells_to_encode(
    adata: AnnData, screen: Screen, controls: np.ndarray, *, most: int = MAX_CELLS, seed: int
) -> np.ndarray:
    """Control cells to train an encoder on, float32 ``(cells, genes)``.

    Parameters
    ----------
    adata
        Screen of cells.
    screen
        Its registration.
    controls
        Rows of the control cells.
    most
        Most of them, drawn at random.
    seed
        Seed of the draw.

    Raises
    ------
    ValueError
        If the screen holds effects, not cells.
    """
    if CONTROL_MEAN in adata.layers:
        raise ValueError(
            "a screen of effects has no control cells to train an encoder on: call "
            "`ps.tl.train_gene_encoder` on the cells, and pass what it returns as `encoder`."
        )
    if len(controls) > most:
        controls = np.sort(np.random.default_rng(seed).choice(controls, most, replace=False))
    return np.asarray(dense_rows(matrix_of(adata, screen.layer), controls), np.float32)


def train_masked(
    x: np.ndarray,
    genes: Sequence[str],
    *,
    n_dims: int = 32,
    n_layers: int = 1,
    n_heads: int = 4,
    n_summaries: int = 16,
    max_genes: int = 1024,
    lr: float = 3e-3,
    batch_size: int = 16,
    max_epochs: int = 100,
    patience: int = 10,
    seed: int = 0,
    accelerator: str = "auto",
) -> GeneEncoder:
    """Encoder with the weights that lose least on a tenth of the cells, on the CPU.

    Parameters
    ----------
    x
        Expression, float32 ``(cells, genes)``.
    genes
        Names of the genes.
    n_dims, n_layers, n_heads, n_summaries
        See :class:`pertscope.nn.gene_encoder.GeneEncoder`.
    max_genes
        Most genes of a step, drawn anew for each; validation takes the same ones in every epoch.
    lr
        Learning rate of Adam.
    batch_size
        Cells per step.
    max_epochs, patience
        See :func:`pertscope.models.epochs.train_epochs`.
    seed
        Seed of all that is drawn.
    accelerator
        ``"auto"``, ``"cpu"`` or ``"gpu"``.

    Raises
    ------
    ValueError
        If there are fewer than two cells, values are NaN or infinite, or training diverges.
    """
    if len(x) < 2:
        raise ValueError(
            f"there are {len(x)} control cell(s) to train an encoder on: two are needed at least."
        )
    if not np.isfinite(x).all():
        raise ValueError("control cells hold NaN or infinite values.")
    rng, device = np.random.default_rng(seed), device_of(accelerator)
    order = rng.permutation(len(x))
    n_val = max(1, round(VAL_SHARE * len(x)))
    val, train = order[:n_val], order[n_val:]

    n_genes = min(max_genes, len(genes))

    def task(rows: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Cells, what of them is hidden, and which genes these are."""
        some = np.sort(rng.permutation(len(genes))[:n_genes])
        mask = rng.random((len(rows), n_genes)) < HIDDEN
        mask[:, rng.integers(n_genes)] = True  # a gene at least
        drawn = x[rows][:, some], mask, some
        return tuple(torch.as_tensor(array, device=device) for array in drawn)

    with own_random_state(seed):
        module = GeneEncoder(
            genes, n_dims=n_dims, n_layers=n_layers, n_heads=n_heads, n_summaries=n_summaries
        )
        sd = x.std(axis=0, dtype=np.float64)
        module.mean.copy_(torch.as_tensor(x.mean(axis=0, dtype=np.float64)))
        module.sd.copy_(torch.as_tensor(np.where(sd > 0, sd, 1.0)))
        module.to(device)
        optimizer = torch.optim.Adam(module.parameters(), lr=lr)
        # each epoch is validated on the same
        fixed = [task(val[i : i + batch_size]) for i in range(0, n_val, batch_size)]

        def epoch() -> None:
            shuffled = rng.permutation(train)
            for start in range(0, len(shuffled), batch_size):
                rows = shuffled[start : start + batch_size]
                optimizer.zero_grad()
                module.loss(*task(rows)).backward()
                optimizer.step()

        def validate() -> float:
            return sum(module.loss(*each).item() * len(each[0]) for each in fixed) / n_val

        train_epochs(module, epoch, validate, max_epochs=max_epochs, patience=patience)
    return module.cpu()
