"""Attention among embeddings of one perturbation, in the context of its control cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pertscope.nn.effect_layers import gelu_layers
from pertscope.nn.effect_module import EffectModule, start_at_mean
from pertscope.nn.set_attention import SetAttention

SOURCE_WEIGHT, CONTEXT_WEIGHT = 9.41, 9.56
"""Weights of the two reconstructions."""
SOURCE_DROPOUT = 0.004
"""Share of embeddings that are missing in training."""
N_HEAD = 400
"""Width of the hidden layers of the head."""
CONTEXT_WIDTHS = (1024, 256)
"""Widths of the hidden layers of the autoencoder of contexts."""


class FullFusionModule(EffectModule):
    """A token of each embedding and one to read from, mixed by gated attention.

    Parameters
    ----------
    widths
        Dimensions of each embedding.
    contexts
        Standardised mean control of each combination of covariates, ``(contexts, genes)``.
    mean
        Mean training effect ``(genes,)``, with which it starts.
    n_dims, n_layers, n_heads, dropout
        Length of a token, blocks, heads, and share that is dropped in training.
    """

    contexts: Tensor

    def __init__(
        self,
        widths: tuple[int, ...],
        contexts: Tensor,
        *,
        mean: Tensor,
        n_dims: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.widths = widths
        self.register_buffer("contexts", contexts, persistent=False)
        self.sources = nn.ModuleList(nn.Linear(width, n_dims) for width in widths)
        self.back = nn.ModuleList(nn.Linear(n_dims, width) for width in widths)
        self.cls = nn.Parameter(torch.randn(n_dims))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            SetAttention(n_dims, n_heads, dropout=dropout, gated=True) for _ in range(n_layers)
        )
        sizes = (len(mean), *CONTEXT_WIDTHS, n_dims)
        self.encoder, self.decoder = gelu_layers(sizes), gelu_layers(sizes[::-1])
        head = nn.Linear(N_HEAD, len(mean))
        start_at_mean(head, mean)
        self.head = nn.Sequential(gelu_layers((2 * n_dims, N_HEAD, N_HEAD)), nn.GELU(), head)

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Effects of vectors, which of them there are, and places of contexts.

        ``(conditions, sum of widths)``, bool ``(conditions, embeddings)``, int64
        ``(conditions,)``. And, in training, the weighted errors of the reconstructions: of each
        embedding from its token, and of the contexts.
        """
        vectors, there, context = inputs
        parts = vectors.split(self.widths, dim=1)
        tokens = [self.dropout(project(x)) for project, x in zip(self.sources, parts, strict=True)]
        tokens.insert(0, self.cls.expand(len(vectors), -1))
        shown = there
        if self.training:
            shown = there & (torch.rand_like(vectors[:, :1].expand(there.shape)) >= SOURCE_DROPOUT)
        mask = torch.cat([there.new_ones(len(there), 1), shown], dim=1)
        x = torch.stack(tokens, dim=1)
        for block in self.blocks:
            x = block(x, mask)
        code = self.encoder(self.contexts)
        line = F.normalize(code, dim=1)[context]
        effects = self.head(torch.cat([x[:, 0], line], dim=1))
        if not self.training:
            return effects, effects.new_zeros(())
        lost = F.mse_loss(self.decoder(code), self.contexts) * CONTEXT_WEIGHT
        n = there.sum().clamp(min=1)
        for i, (back, part) in enumerate(zip(self.back, parts, strict=True)):
            error = (back(x[:, 1 + i]) - part).square().mean(dim=1)
            lost = lost + SOURCE_WEIGHT * (error * there[:, i]).sum() / n
        return effects, lost
