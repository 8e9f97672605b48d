"""The heads of fine-tuning by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pertscope.nn.indexing_head import IndexingHead
from pertscope.nn.knockout_head import KnockoutHead

if TYPE_CHECKING:
    from collections.abc import Sequence

INDEXING, KNOCKOUT = "indexing", "knockout"
N_HIDDEN = {INDEXING: (1024, 2048), KNOCKOUT: (64, 32)}
"""Widths of the hidden layers in the paper."""


def head_of(
    name: str,
    width: int,
    n_hidden: Sequence[int],
    *,
    genes: Sequence[str],
    encoder_genes: Sequence[str],
) -> tuple[IndexingHead | KnockoutHead, torch.Tensor]:
    """A head, and which of the screen's genes it predicts, int64.

    Parameters
    ----------
    name
        Of the head.
    width
        Length of the encoder's vectors.
    n_hidden
        Widths of its hidden layers.
    genes, encoder_genes
        Genes of the screen and of the encoder.
    """
    if name == INDEXING:
        return IndexingHead(width, len(genes), n_hidden), torch.arange(len(genes))
    place = {gene: i for i, gene in enumerate(encoder_genes)}
    columns = [i for i, gene in enumerate(genes) if gene in place]
    wanted = torch.tensor([place[genes[i]] for i in columns])
    return KnockoutHead(width, wanted, n_hidden), torch.tensor(columns)
