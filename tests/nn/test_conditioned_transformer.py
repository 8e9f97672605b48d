"""The trunk of generative models: shapes, its start at zero, what it is told."""

from __future__ import annotations

import pytest
import torch

from pertscope.nn.conditioned_transformer import ConditionedTransformer, Layer

CELLS, D, P = 6, 7, 4
SIZES = {"n_hidden": 8, "n_layers": 2, "n_heads": 2, "dropout": 0.0}


def trunk(n_seen=1, n_outputs=1, n_per_token=3, *, trained=True) -> ConditionedTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ConditionedTransformer(
            D, P, n_seen=n_seen, n_outputs=n_outputs, n_per_token=n_per_token, **SIZES
        )
        if trained:
            for weight in made.parameters():
                weight.data += 0.3 * torch.randn_like(weight)
    return made


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield


@pytest.mark.parametrize("n_seen", [1, 2])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("n_per_token", [1, 3, 7, 10])
def test_shapes(n_seen, n_outputs, n_per_token) -> None:
    seen, t, told = torch.randn(CELLS, n_seen, D), torch.rand(CELLS), torch.randn(CELLS, P)
    made = trunk(n_seen, n_outputs, n_per_token)
    out = made(seen, t, told)
    assert out.shape == (CELLS, n_outputs, D)
    assert out.std() > 0.01
    # cells are apart, and one time and condition stand for all
    torch.testing.assert_close(made(seen[2:4], t[2:4], told[2:4]), out[2:4])
    same = made(seen, t[:1].expand(CELLS), told[:1].expand(CELLS, -1))
    torch.testing.assert_close(made(seen, t[:1], told[:1]), same)
    untrained = trunk(n_seen, n_outputs, n_per_token, trained=False)
    assert torch.equal(untrained(seen, t, told), torch.zeros(CELLS, n_outputs, D))


def test_everything_counts() -> None:
    made = trunk(n_seen=2)
    seen, t, told = torch.randn(CELLS, 2, D), torch.rand(CELLS), torch.randn(CELLS, P)
    out = made(seen, t, told)
    for i in range(D):  # every coordinate bears on every other one
        for place in (0, 1):
            moved = seen.clone()
            moved[:, place, i] += 1
            assert ((made(moved, t, told) - out).abs().amax(dim=(0, 1)) > 1e-5).all()
    assert (made(seen, t + 1e-2, told) - out).abs().max() > 1e-4
    assert (made(seen, t, told + 0.1) - out).abs().max() > 1e-4


def test_layer_is_its_formula() -> None:
    layer = Layer(8, 2, 0.0).eval()
    for weight in layer.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    x, told = torch.randn(3, 5, 8), torch.randn(3, 1, 8)
    shift, scale, gate, shift2, scale2, gate2 = layer.modulation(told).split(8, dim=2)

    def norm(v):
        return (v - v.mean(2, keepdim=True)) / (v.var(2, keepdim=True, correction=0) + 1e-5).sqrt()

    inner = norm(x) * (1 + scale) + shift
    q, k, v = (layer.attended(inner)[..., 8 * i : 8 * (i + 1)] for i in range(3))
    heads = []
    for h in range(2):
        part = slice(4 * h, 4 * h + 4)
        weights = torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / 2, dim=2)
        heads.append(weights @ v[..., part])
    want = x + gate * layer.joined(torch.cat(heads, dim=2))
    want = want + gate2 * layer.perceptron(norm(want) * (1 + scale2) + shift2)
    torch.testing.assert_close(layer(x, told), want)
    for weight in layer.modulation.parameters():
        weight.data.zero_()
    assert torch.equal(layer(x, told), x)  # as it begins
