"""Attention among embeddings of one perturbation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pertscope.nn.effect_module import EffectModule, start_at_mean
from pertscope.nn.set_attention import SetAttention


class FusionModule(EffectModule):
    """A token of each embedding and one to read from, mixed by attention.

    Parameters
    ----------
    widths
        Dimensions of each embedding.
    n_covariates
        Length of one-hot covariates.
    mean
        Mean training effect ``(genes,)``, with which it starts.
    n_dims, n_layers, n_heads, dropout
        Length of a token, blocks, heads, and share that is dropped in training.
    as_token
        Whether the covariates are a token of their own, or are added to all tokens.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        n_covariates: int,
        *,
        mean: Tensor,
        n_dims: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
        as_token: bool,
    ) -> None:
        super().__init__()
        self.widths, self.as_token = widths, as_token
        self.sources = nn.ModuleList(nn.Linear(width, n_dims) for width in widths)
        self.cls = nn.Parameter(torch.randn(n_dims))
        self.covariates = nn.Parameter(torch.randn(n_covariates, n_dims))
        self.norm = nn.LayerNorm(n_dims)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            SetAttention(n_dims, n_heads, dropout=dropout, gated=False) for _ in range(n_layers)
        )
        self.head = nn.Linear(n_dims, len(mean))
        start_at_mean(self.head, mean)

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Effects of vectors, which of them there are, and one-hot covariates; nothing beside.

        ``(conditions, sum of widths)``, bool ``(conditions, embeddings)``, ``(conditions, n)``.
        """
        vectors, there, covariates = inputs
        tokens = [
            self.dropout(project(x))
            for project, x in zip(self.sources, vectors.split(self.widths, dim=1), strict=True)
        ]
        line = self.dropout(self.norm(covariates @ self.covariates))
        tokens.insert(0, self.cls.expand(len(vectors), -1))
        always = there.new_ones(len(there), 1)
        there = torch.cat([always, there], dim=1)
        if self.as_token:
            tokens.append(line)
            there = torch.cat([there, always], dim=1)
        x = torch.stack(tokens, dim=1)
        if not self.as_token:
            x = x + line[:, None]
        for block in self.blocks:
            x = block(x, there)
        found = self.head(x[:, 0])
        return found, found.new_zeros(())
