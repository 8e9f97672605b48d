from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from pertscope.nn.mlp import mlp


@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_order_of_layers(n_layers) -> None:
    network = mlp(4, 2, n_hidden=5, n_layers=n_layers, dropout=0.3)
    block = [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Dropout]
    assert [type(layer) for layer in network] == block * n_layers + [nn.Linear]
    linear = [(m.in_features, m.out_features) for m in network if isinstance(m, nn.Linear)]
    widths = [4] + [5] * n_layers + [2]
    assert linear == list(pairwise(widths))
    assert all(m.p == 0.3 for m in network if isinstance(m, nn.Dropout))
    assert network(torch.zeros(3, 4)).shape == (3, 2)


def test_nothing_is_shared_between_networks() -> None:
    a, b = (mlp(4, 2, n_hidden=5, n_layers=1, dropout=0) for _ in range(2))
    assert not {id(p) for p in a.parameters()} & {id(p) for p in b.parameters()}
