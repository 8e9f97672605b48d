"""Heads of fine-tuning against the equations, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pertscope.nn.fine_tuning_module import EncoderMissing, FineTuningModule, hits
from pertscope.nn.indexing_head import CELLS_AT_ONCE, IndexingHead
from pertscope.nn.knockout_head import KnockoutHead

N_GENES, WIDTH = 5, 3


class Encoder(nn.Module):
    """Each gene's value times a vector of its own, plus the cell's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(N_GENES, WIDTH))
        self.n_calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.n_calls += 1
        return x[:, :, None] * self.vectors + x.mean(dim=1)[:, None, None]


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def loud(head: nn.Module) -> nn.Module:
    """The head as if it were trained: its last layer starts at zero."""
    for weights in head.parameters():
        nn.init.normal_(weights)
    return head


def make(head: nn.Module, *, columns: list[int], n_cells: int = 2, n_out: int = 4):
    controls = [torch.randn(40, N_GENES), torch.randn(1, N_GENES)]
    module = FineTuningModule(
        Encoder(),
        head,
        controls=controls,
        means=torch.randn(2, n_out),
        columns=torch.tensor(columns),
        n_cells=n_cells,
    )
    return module.eval(), controls


GENES = torch.tensor([[3, -1], [0, 4], [3, -1]])
CONTEXT = torch.tensor([1, 0, 0])


def test_hits() -> None:
    assert hits(GENES, torch.zeros(1, 5)).tolist() == [
        [0, 0, 0, 1, 0],
        [1, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
    ]


def test_indexing_is_equation_13() -> None:
    head = loud(IndexingHead(WIDTH, 4, [7, 6]))
    module, controls = make(head, columns=[0, 1, 2, 3])
    assert len(controls[0]) > CELLS_AT_ONCE
    found = module(GENES, CONTEXT)
    for i, (genes, c) in enumerate(zip(GENES.tolist(), CONTEXT.tolist(), strict=True)):
        vectors = module.encoder(controls[c]).mean(dim=0)
        z = torch.stack([vectors[g] for g in genes if g >= 0]).mean(dim=0)
        torch.testing.assert_close(found[i], module.means[c] + head.network(z))


def test_knockout_is_equation_15() -> None:
    head = loud(KnockoutHead(WIDTH, torch.tensor([4, 0]), [7, 6]))
    module, controls = make(head, columns=[3, 1])
    found = module(GENES, CONTEXT)
    for i, (genes, c) in enumerate(zip(GENES.tolist(), CONTEXT.tolist(), strict=True)):
        y = controls[c].mean(dim=0)
        y[[g for g in genes if g >= 0]] = 0
        of_gene = head.network(module.encoder(y[None])[0])[:, 0]
        want = module.means[c].clone()
        want[3] += of_gene[4]
        want[1] += of_gene[0]
        torch.testing.assert_close(found[i], want)


@pytest.mark.parametrize("head", ["indexing", "knockout"])
def test_says_the_mean_before_it_is_trained(head) -> None:
    made = IndexingHead(WIDTH, 2, []) if head == "indexing" else KnockoutHead(WIDTH, GENES[1], [5])
    module, _ = make(made, columns=[0, 1])
    torch.testing.assert_close(module(GENES, CONTEXT), module.means[CONTEXT])


def test_training_draws_cells_and_prediction_takes_all_once() -> None:
    module, _ = make(loud(IndexingHead(WIDTH, 4, [])), columns=[0, 1, 2, 3])
    module.train()
    drawn = {tuple(module(GENES, CONTEXT)[1].tolist()) for _ in range(3)}
    assert len(drawn) == 3
    module.eval()
    with torch.no_grad():
        module.encoder.n_calls = 0
        first, again = module(GENES, CONTEXT), module(GENES, CONTEXT)
        assert module.encoder.n_calls == 3  # 40 cells in two parts, and one cell
        torch.testing.assert_close(first, again)
        nn.init.zeros_(module.encoder.vectors)
        module.train().eval()  # as each epoch does: nothing is kept of other weights
        assert not torch.allclose(module(GENES, CONTEXT), first)


def test_an_encoder_that_is_not_trained_only_predicts() -> None:
    module, _ = make(loud(IndexingHead(WIDTH, 4, [])), columns=[0, 1, 2, 3])
    assert module.train().encoder.training
    assert not module.eval().encoder.training
    module.encoder.requires_grad_(False)
    assert not module.train().encoder.training
    assert module.head.training


def test_without_an_encoder() -> None:
    module = EncoderMissing()
    weights = {"encoder.vectors": torch.ones(2)}
    module.load_state_dict(weights)
    assert module.state_dict() == weights
    with pytest.raises(ValueError, match="hand it over"):
        module(GENES, CONTEXT)
