"""Perceptrons of networks that predict effects."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence


def gelu_layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from each width to the next, with GELU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def effect_layers(n_in: int, n_out: int, n_hidden: Sequence[int]) -> nn.Sequential:
    """:func:`gelu_layers`, of which the last says zero before it is trained."""
    layers = gelu_layers([n_in, *n_hidden, n_out])
    for weights in layers[-1].parameters():
        nn.init.zeros_(weights)
    return layers
