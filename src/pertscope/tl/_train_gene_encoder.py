"""Train a small encoder of genes on the control cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import label_column
from pertscope._core.matrix import refuse_counts
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.nn.gene_encoder import GeneEncoder


def train_gene_encoder(
    adata: AnnData,
    *,
    n_dims: int = 32,
    n_layers: int = 1,
    n_heads: int = 4,
    n_summaries: int = 16,
    max_genes: int = 1024,
    max_cells: int = 20_000,
    lr: float = 3e-3,
    batch_size: int = 16,
    max_epochs: int = 100,
    patience: int = 10,
    seed: int = 0,
    accelerator: str = "auto",
) -> GeneEncoder:
    """Train a transformer over genes to fill in what is hidden of control cells.

    A foundation model in small, of one screen alone: three tenths of the genes of each cell are
    hidden, and their standardised expression is told from the others by mean squared error. What
    comes out gives each gene of each cell a vector, and can be fine-tuned
    (:class:`pertscope.models.FineTuning`) or averaged to an embedding of genes
    (:func:`pertscope.tl.aggregate_gene_embeddings`). The weights that lose least on a tenth of the
    cells are kept. A loss of 1 is that of each gene's mean: an encoder that stays near it has
    learned nothing, and needs more control cells or epochs.

    Parameters
    ----------
    adata
        Registered screen on a log or standardised scale. No perturbed cell is looked at.
    n_dims
        Length of the vectors, a multiple of `n_heads`.
    n_layers
        Layers of the transformer.
    n_heads
        Attention heads.
    n_summaries
        Summaries of the cell that genes tell each other by; time grows with genes times these.
    max_genes
        Most genes of a step, drawn anew for each: a cell is a set of genes, of any number.
    max_cells
        Most control cells, drawn at random.
    lr
        Learning rate of Adam.
    batch_size
        Cells per step.
    max_epochs
        Epochs at most.
    patience
        Epochs without a lower validation loss after which training stops.
    seed
        Seed of the weights and of all that is drawn.
    accelerator
        ``"cpu"``, ``"gpu"``, or ``"auto"``: a GPU where there is one. On the CPU the same seed and
        number of threads give the same bytes.

    Returns
    -------
    A torch module, ``(cells, genes)`` to ``(cells, genes, n_dims)``, on the CPU, with the names of
    its genes as ``.genes``.

    Raises
    ------
    KeyError
        If the screen is not registered.
    ValueError
        If it holds counts, effects, NaN or infinite values, there are fewer than two control cells,
        a setting is out of range, or training diverges.

    References
    ----------
    Lee et al., Set Transformer, ICML (2019).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata)
    >>> ps.pp.normalize(adata)
    >>> encoder = ps.tl.train_gene_encoder(adata, n_dims=8, max_epochs=1, accelerator="cpu")
    >>> sum(weights.numel() for weights in encoder.parameters()) > 50 * 8
    True
    """
    screen = Screen.of(adata)
    refuse_counts(adata, screen.layer, "`train_gene_encoder`")
    numbers = {"n_layers": n_layers, "n_summaries": n_summaries, "batch_size": batch_size}
    numbers |= {"max_genes": max_genes, "max_cells": max_cells}
    low = [f"`{k}`={v}" for k, v in numbers.items() if v < 1]
    if low or lr <= 0:
        raise ValueError(f"{', '.join(low) or f'`lr`={lr}'} must be positive.")
    if n_dims < 1 or n_heads < 1 or n_dims % n_heads:
        raise ValueError(f"`n_dims`={n_dims} must be a multiple of `n_heads`={n_heads}.")
    labels = label_column(adata.obs, screen.perturbation_key)
    controls = np.flatnonzero(np.asarray(labels == screen.control))
    from pertscope.models.embedding.gene_encoder import cells_to_encode, train_masked

    x = cells_to_encode(adata, screen, controls, most=max_cells, seed=seed)
    return train_masked(
        x,
        [str(g) for g in adata.var_names],
        n_dims=n_dims,
        n_layers=n_layers,
        n_heads=n_heads,
        n_summaries=n_summaries,
        max_genes=max_genes,
        lr=lr,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        seed=seed,
        accelerator=accelerator,
    )
