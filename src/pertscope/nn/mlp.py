"""The multilayer perceptron that all response models share."""

from __future__ import annotations

from torch import nn


def mlp(n_in: int, n_out: int, *, n_hidden: int, n_layers: int, dropout: float) -> nn.Sequential:
    """Linear -> LayerNorm -> ReLU -> Dropout, `n_layers` times, then Linear.

    Maps ``(cells, n_in)`` to ``(cells, n_out)``. With ``n_layers=0`` it is one linear layer.
    """
    layers: list[nn.Module] = []
    for _ in range(n_layers):
        layers += [
            nn.Linear(n_in, n_hidden),
            nn.LayerNorm(n_hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        ]
        n_in = n_hidden
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))
