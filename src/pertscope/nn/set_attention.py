"""Self-attention among the tokens of a set, some of which may be missing."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SetAttention(nn.Module):
    """Transformer block on a set: attention, then a feed-forward network, each normed after.

    ``x = LN(x + A(x))``, ``x = LN(x + W_2 GELU(W_1 x))``; gated, what attention says is multiplied
    by ``sigmoid(W x)``.

    Parameters
    ----------
    n_dims
        Length of a token.
    n_heads
        Heads, which divide it.
    dropout
        Share of what is added that is dropped in training.
    gated
        Whether attention is gated.
    """

    def __init__(self, n_dims: int, n_heads: int, *, dropout: float, gated: bool) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(n_dims, 3 * n_dims)
        self.gate = nn.Linear(n_dims, n_dims) if gated else None
        self.out = nn.Linear(n_dims, n_dims)
        self.norm = nn.LayerNorm(n_dims)
        self.feed_forward = nn.Sequential(
            nn.Linear(n_dims, 4 * n_dims),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * n_dims, n_dims),
        )
        self.last_norm = nn.LayerNorm(n_dims)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Tokens ``(sets, tokens, n_dims)``; `there` says which are not missing, bool."""
        n, size, width = x.shape
        q, k, v = self.qkv(x).view(n, size, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        rate = self.dropout.p if self.training else 0.0
        found = F.scaled_dot_product_attention(
            q, k, v, attn_mask=there[:, None, None, :], dropout_p=rate
        )
        found = found.transpose(1, 2).reshape(n, size, width)
        if self.gate is not None:
            found = found * self.gate(x).sigmoid()
        x = self.norm(x + self.dropout(self.out(found)))
        return self.last_norm(x + self.dropout(self.feed_forward(x)))
