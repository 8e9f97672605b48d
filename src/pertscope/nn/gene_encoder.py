"""Cells by genes to a vector of each gene in each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence


class GeneEncoder(nn.Module):
    """A small transformer whose tokens are genes, ``(cells, genes)`` to ``(cells, genes, n_dims)``.

    The token of gene g in a cell that expresses x of it is ``e_g + s_g (x - m_g) / d_g``, e and s
    learned, m and d the gene's mean and standard deviation; where x is hidden, ``e_g + h``. In each
    layer a few summaries of the cell attend to all genes, and genes attend to the summaries (Lee et
    al., Set Transformer, 2019): time and memory grow with the number of genes, not its square.

    Parameters
    ----------
    genes
        Their names, in the order of the columns.
    n_dims
        Length of the vectors, a multiple of `n_heads`.
    n_layers
        Layers.
    n_heads
        Attention heads.
    n_summaries
        Summaries of a cell.
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self, genes: Sequence[str], *, n_dims: int, n_layers: int, n_heads: int, n_summaries: int
    ) -> None:
        super().__init__()
        self.genes = tuple(genes)
        self.shape = {
            "n_dims": n_dims,
            "n_layers": n_layers,
            "n_heads": n_heads,
            "n_summaries": n_summaries,
        }
        self.register_buffer("mean", torch.zeros(len(genes)))
        self.register_buffer("sd", torch.ones(len(genes)))
        self.identity = nn.Parameter(torch.randn(len(genes), n_dims) / n_dims**0.5)
        self.slope = nn.Parameter(torch.randn(len(genes), n_dims) / n_dims**0.5)
        self.hidden = nn.Parameter(torch.zeros(n_dims))
        self.summaries = nn.Parameter(torch.randn(n_summaries, n_dims) / n_dims**0.5)
        self.layers = nn.ModuleList(SummaryLayer(n_dims, n_heads) for _ in range(n_layers))
        self.norm = nn.LayerNorm(n_dims)
        self.value = nn.Linear(n_dims, 1)

    def forward(
        self, x: Tensor, hidden: Tensor | None = None, some: Tensor | None = None
    ) -> Tensor:
        """Vectors of genes ``(cells, genes, n_dims)``.

        Parameters
        ----------
        x
            Expression ``(cells, genes)``.
        hidden
            Whether it is kept from the encoder, bool ``(cells, genes)``; nothing is by default.
        some
            Which genes these are, int64 ``(genes,)``, where they are not all.
        """
        chosen = slice(None) if some is None else some
        told = self.standardised(x, some)[:, :, None] * self.slope[chosen]
        if hidden is not None:
            told = torch.where(hidden[:, :, None], self.hidden, told)
        tokens = self.identity[chosen] + told
        summaries = self.summaries.expand(len(x), -1, -1)
        for layer in self.layers:
            tokens, summaries = layer(tokens, summaries)
        vectors: Tensor = self.norm(tokens)
        return vectors

    def standardised(self, x: Tensor, some: Tensor | None = None) -> Tensor:
        """``(x - m) / d``, ``(cells, genes)``."""
        chosen = slice(None) if some is None else some
        return (x - self.mean[chosen]) / self.sd[chosen]

    def loss(self, x: Tensor, hidden: Tensor, some: Tensor | None = None) -> Tensor:
        """Mean squared error of standardised values that are hidden, told from those that are not.

        Parameters
        ----------
        x
            Expression ``(cells, genes)``.
        hidden
            Which of it is hidden, bool ``(cells, genes)``, some at least.
        some
            Which genes these are, where they are not all.
        """
        told = self.value(self(x, hidden, some))[:, :, 0]
        return F.mse_loss(told[hidden], self.standardised(x, some)[hidden])


class SummaryLayer(nn.Module):
    """Summaries attend to genes, genes to summaries, each followed by a network of its own."""

    def __init__(self, n_dims: int, n_heads: int) -> None:
        super().__init__()
        self.gather, self.spread = Attention(n_dims, n_heads), Attention(n_dims, n_heads)
        self.of_summaries, self.of_tokens = _feed_forward(n_dims), _feed_forward(n_dims)

    def forward(self, tokens: Tensor, summaries: Tensor) -> tuple[Tensor, Tensor]:
        """Both updated, of the shapes they had."""
        summaries = summaries + self.gather(summaries, tokens)
        summaries = summaries + self.of_summaries(summaries)
        tokens = tokens + self.spread(tokens, summaries)
        return tokens + self.of_tokens(tokens), summaries


class Attention(nn.Module):
    """``softmax(q k' / sqrt(d)) v`` over several heads, inputs normalised first.

    Its maps are plain linear layers, which adapters of low rank can be put beside.
    """

    def __init__(self, n_dims: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_to, self.norm_from = nn.LayerNorm(n_dims), nn.LayerNorm(n_dims)
        self.query, self.key = nn.Linear(n_dims, n_dims), nn.Linear(n_dims, n_dims)
        self.content, self.out = nn.Linear(n_dims, n_dims), nn.Linear(n_dims, n_dims)

    def forward(self, to: Tensor, source: Tensor) -> Tensor:
        """What `to` ``(cells, a, n_dims)`` reads of `source` ``(cells, b, n_dims)``."""
        normed = self.norm_from(source)
        query, key, content = (
            found.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for found in (self.query(self.norm_to(to)), self.key(normed), self.content(normed))
        )
        read = F.scaled_dot_product_attention(query, key, content)
        out: Tensor = self.out(read.transpose(1, 2).flatten(2))
        return out


def _feed_forward(n_dims: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(n_dims),
        nn.Linear(n_dims, 2 * n_dims),
        nn.GELU(),
        nn.Linear(2 * n_dims, n_dims),
    )
