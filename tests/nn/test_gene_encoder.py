"""The encoder of genes: what it may see, and what it is trained by."""

from __future__ import annotations

import pytest
import torch

from pertscope.models.isolation import own_random_state
from pertscope.nn.gene_encoder import GeneEncoder

GENES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def encoder() -> GeneEncoder:
    with own_random_state(0):
        made = GeneEncoder(GENES, n_dims=6, n_layers=2, n_heads=3, n_summaries=4)
        made.mean.copy_(torch.arange(5.0))
        made.sd.copy_(torch.arange(1.0, 6.0))
        torch.nn.init.normal_(made.hidden)
    return made.eval()


@pytest.fixture
def cells() -> torch.Tensor:
    return torch.randn(3, 5, generator=torch.Generator().manual_seed(1))


def test_one_vector_of_each_gene_of_each_cell(encoder, cells) -> None:
    found = encoder(cells)
    assert found.shape == (3, 5, 6)
    torch.testing.assert_close(encoder(cells[1:2])[0], found[1])  # cells see themselves alone
    assert not torch.allclose(encoder(cells + torch.eye(5)[0])[:, 1:], found[:, 1:])


def test_the_order_of_genes_says_nothing(encoder, cells) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    shape = {"n_dims": 6, "n_layers": 2, "n_heads": 3, "n_summaries": 4}
    other = GeneEncoder([GENES[i] for i in order], **shape)
    weights = encoder.state_dict()
    for name in ("mean", "sd", "identity", "slope"):
        weights[name] = weights[name][order]
    other.load_state_dict(weights)
    torch.testing.assert_close(other(cells[:, order]), encoder(cells)[:, order])


def test_what_is_hidden_is_not_seen(encoder, cells) -> None:
    hidden = torch.zeros(3, 5, dtype=torch.bool)
    hidden[:, 2] = True
    found = encoder(cells, hidden)
    changed = cells.clone()
    changed[:, 2] += 7
    torch.testing.assert_close(encoder(changed, hidden), found)
    assert not torch.allclose(encoder(cells), found)


def test_some_genes_alone(encoder, cells) -> None:
    some, others = torch.tensor([1, 4]), ("b", "e")
    small = GeneEncoder(others, n_dims=6, n_layers=2, n_heads=3, n_summaries=4)
    weights = encoder.state_dict()
    for name in ("mean", "sd", "identity", "slope"):
        weights[name] = weights[name][some]
    small.load_state_dict(weights)
    hidden = torch.tensor([[True, False], [False, True], [True, True]])
    found = encoder.loss(cells[:, some], hidden, some)
    torch.testing.assert_close(found, small.loss(cells[:, some], hidden))


def test_loss_is_the_error_of_what_is_hidden(encoder, cells) -> None:
    hidden = torch.rand(3, 5, generator=torch.Generator().manual_seed(2)) < 0.5
    told = encoder.value(encoder(cells, hidden))[:, :, 0]
    true = (cells - torch.arange(5.0)) / torch.arange(1.0, 6.0)
    error = [(told[i, g] - true[i, g]).square() for i in range(3) for g in range(5) if hidden[i, g]]
    torch.testing.assert_close(encoder.loss(cells, hidden), sum(error) / len(error))
