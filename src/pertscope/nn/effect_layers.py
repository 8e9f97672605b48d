"""The perceptron of heads that predict effects."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence


def effect_layers(n_in: int, n_out: int, n_hidden: Sequence[int]) -> nn.Sequential:
    """Linear -> GELU for each of the widths, then Linear, which says zero before it is trained."""
    widths = [n_in, *n_hidden]
    found: list[nn.Module] = []
    for a, b in pairwise(widths):
        found += [nn.Linear(a, b), nn.GELU()]
    last = nn.Linear(widths[-1], n_out)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*found, last)
