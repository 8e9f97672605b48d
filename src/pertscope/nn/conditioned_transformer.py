"""A transformer over the coordinates of a cell, told a time and a condition."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

N_FREQUENCIES = 64
SLOWEST, FASTEST = 1.0, 1000.0
"""Frequencies of a time in [0, 1], in radians."""


class ConditionedTransformer(nn.Module):
    """Outputs for each coordinate of a place, at a time, under a condition.

    Coordinates are cut into tokens of `n_per_token`; each layer is attention and a perceptron, both
    shifted, scaled and gated by what the sum of encoded time and condition says (adaLN-zero). All
    outputs are 0 before training.

    Parameters
    ----------
    n_coordinates
        Coordinates of a place.
    n_condition
        Length of the vector of a condition.
    n_seen
        Places that the network sees: the one where it is, and those that it is shown beside it.
    n_outputs
        Numbers for each coordinate.
    n_per_token
        Coordinates of a token.
    n_hidden, n_layers, n_heads
        Width of a token, layers, and heads of attention in each.
    dropout
        Share of what a layer adds that is dropped in training.

    References
    ----------
    Peebles and Xie, Scalable diffusion models with transformers (2023).
    """

    def __init__(
        self,
        n_coordinates: int,
        n_condition: int,
        *,
        n_seen: int,
        n_outputs: int,
        n_per_token: int,
        n_hidden: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.n_coordinates, self.n_outputs, self.n_per_token = n_coordinates, n_outputs, n_per_token
        n_tokens = math.ceil(n_coordinates / n_per_token)
        self.n_filled = n_tokens * n_per_token - n_coordinates
        self.enter = nn.Linear(n_seen * n_per_token, n_hidden)
        self.position = nn.Parameter(torch.randn(n_tokens, n_hidden) / n_hidden**0.5)
        self.time = _perceptron(2 * N_FREQUENCIES, n_hidden)
        self.condition = _perceptron(n_condition, n_hidden)
        self.layers = nn.ModuleList(Layer(n_hidden, n_heads, dropout) for _ in range(n_layers))
        self.last = _zero_linear(n_hidden, 2 * n_hidden)
        self.leave = _zero_linear(n_hidden, n_outputs * n_per_token)

    def forward(self, seen: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Outputs ``(cells, n_outputs, n_coordinates)``.

        Parameters
        ----------
        seen
            The place, and those beside it, ``(cells, n_seen, n_coordinates)``.
        t
            Times, ``(cells,)``, or one for all cells ``(1,)``.
        condition
            Vectors ``(cells, n_condition)``, or one row for all cells.
        """
        tokens = functional.pad(seen, (0, self.n_filled)).unflatten(2, (-1, self.n_per_token))
        x = self.enter(tokens.transpose(1, 2).flatten(2)) + self.position
        told = functional.silu(self.time(_waves(t)) + self.condition(condition))[:, None]
        for layer in self.layers:
            x = layer(x, told)
        shift, scale = self.last(told).chunk(2, dim=2)
        x = self.leave(_norm(x) * (1 + scale) + shift)
        x = x.unflatten(2, (self.n_outputs, self.n_per_token)).transpose(1, 2).flatten(2)
        return x[:, :, : self.n_coordinates]


class Layer(nn.Module):
    """Attention and a perceptron: ``x + gate * f((1 + scale) * norm(x) + shift)`` for each."""

    def __init__(self, n_hidden: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.modulation = _zero_linear(n_hidden, 6 * n_hidden)
        self.attended = nn.Linear(n_hidden, 3 * n_hidden)
        self.joined = nn.Linear(n_hidden, n_hidden)
        self.perceptron = nn.Sequential(
            nn.Linear(n_hidden, 4 * n_hidden),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * n_hidden, n_hidden),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Tokens ``(cells, tokens, n_hidden)``, told ``(cells, 1, n_hidden)`` what to do."""
        shift, scale, gate, shift_2, scale_2, gate_2 = self.modulation(told).chunk(6, dim=2)
        x = x + gate * self.dropout(self._attend(_norm(x) * (1 + scale) + shift))
        return x + gate_2 * self.dropout(self.perceptron(_norm(x) * (1 + scale_2) + shift_2))

    def _attend(self, x: Tensor) -> Tensor:
        heads = self.attended(x).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*heads.unbind())
        return self.joined(mixed.transpose(1, 2).flatten(2))


def _waves(t: Tensor) -> Tensor:
    """Cosines and sines of times, ``(times, 2 * N_FREQUENCIES)``."""
    powers = torch.linspace(0, 1, N_FREQUENCIES, device=t.device)
    angles = t[:, None].float() * SLOWEST * (FASTEST / SLOWEST) ** powers
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _norm(x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:])


def _perceptron(n_in: int, n_hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_hidden), nn.SiLU(), nn.Linear(n_hidden, n_hidden))


def _zero_linear(n_in: int, n_out: int) -> nn.Linear:
    linear = nn.Linear(n_in, n_out)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
