"""Encoders of genes that are given, and the one that is trained where none is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TRAIN
from pertscope._core.messages import listed
from pertscope._core.splits import split_of
from pertscope.models.embedding.gene_encoder import cells_to_encode, train_masked
from pertscope.nn.gene_encoder import GeneEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.screen import Screen


def genes_of(
    encoder: nn.Module, given: Sequence[str] | None, screen_genes: Sequence[str]
) -> list[str]:
    """Genes of an encoder: those that are given, else those it names, else those of the screen.

    Raises
    ------
    ValueError
        If a gene occurs twice, or the screen has none of them.
    """
    named = getattr(encoder, "genes", None) if given is None else given
    genes = [str(gene) for gene in (screen_genes if named is None else named)]
    twice = sorted({g for g, n in zip(*np.unique(genes, return_counts=True), strict=True) if n > 1})
    if twice:
        raise ValueError(f"{len(twice)} gene(s) of the encoder occur twice: {listed(twice)}.")
    if not set(genes) & set(screen_genes):
        raise ValueError(
            f"the screen has none of the encoder's {len(genes)} genes, {listed(genes)}, but "
            f"{listed(screen_genes)}: name both in the same way."
        )
    return genes


def width_of(encoder: nn.Module, n_genes: int) -> int:
    """Length of the vectors that an encoder gives genes.

    Raises
    ------
    TypeError
        If it is no torch module.
    ValueError
        If what it returns does not have the shape ``(cells, genes, width)``.
    """
    if not isinstance(encoder, nn.Module):
        raise TypeError(f"`encoder` must be a `torch.nn.Module`, not {type(encoder).__name__}.")
    weights = next(encoder.parameters(), torch.zeros(()))
    was_training = encoder.training
    encoder.eval()
    with torch.no_grad():
        found = encoder(torch.zeros(1, n_genes, device=weights.device))
    encoder.train(was_training)
    shape = tuple(getattr(found, "shape", ()))
    if len(shape) != 3 or shape[:2] != (1, n_genes):
        raise ValueError(
            f"`encoder` must map (cells, {n_genes} genes) to (cells, {n_genes} genes, width): of 1 "
            f"cell it made {shape or type(found).__name__}. `encoder_genes` names its genes."
        )
    return int(shape[2])


def own_encoder(adata: AnnData, screen: Screen, *, seed: int, accelerator: str) -> GeneEncoder:
    """An encoder trained on the training controls of a screen.

    Raises
    ------
    ValueError
        If the screen holds effects, not cells.
    """
    conditions = screen_conditions(adata, screen)
    in_train = split_of(adata, conditions) == TRAIN
    controls = np.flatnonzero(in_train & conditions.is_control[conditions.codes])
    cells = cells_to_encode(adata, screen, controls, seed=seed)
    genes = [str(gene) for gene in adata.var_names]
    return train_masked(cells, genes, seed=seed, accelerator=accelerator)


def shape_of(encoder: nn.Module) -> np.ndarray:
    """What a saved model rebuilds a :class:`GeneEncoder` from; empty for any other."""
    shape = encoder.shape if isinstance(encoder, GeneEncoder) else {}
    return np.array(list(shape.values()), np.int64)


def rebuilt(genes: Sequence[str], shape: np.ndarray) -> GeneEncoder | None:
    """An untrained encoder of this shape; ``None`` where it is none of ours."""
    if not len(shape):
        return None
    n_dims, n_layers, n_heads, n_summaries = (int(n) for n in shape)
    return GeneEncoder(
        genes, n_dims=n_dims, n_layers=n_layers, n_heads=n_heads, n_summaries=n_summaries
    )
