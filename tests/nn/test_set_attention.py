"""Attention among the tokens of a set: against NumPy, and what is missing counts for nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import erf, softmax

from pertscope.nn.set_attention import SetAttention


def tokens(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    there = torch.tensor([[True, True, True, True], [True, False, True, False]])
    return torch.randn(2, 4, 6), there


def block(*, gated: bool) -> SetAttention:
    torch.manual_seed(1)
    made = SetAttention(6, 2, dropout=0.1, gated=gated).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return made


@pytest.mark.parametrize("gated", [False, True])
def test_by_hand(gated) -> None:
    module, (x, there) = block(gated=gated), tokens()
    w = {k: v.numpy().astype(np.float64) for k, v in module.state_dict().items()}

    def linear(name: str, v: np.ndarray) -> np.ndarray:
        return v @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name: str, v: np.ndarray) -> np.ndarray:
        z = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)
        return z * w[f"{name}.weight"] + w[f"{name}.bias"]

    for row, known in zip(x.numpy().astype(np.float64), there.numpy(), strict=True):
        q, k, v = np.split(linear("qkv", row), 3, axis=1)
        heads = []
        for h in (slice(0, 3), slice(3, 6)):
            weights = softmax(np.where(known, q[:, h] @ k[:, h].T / np.sqrt(3), -np.inf), axis=1)
            heads.append(weights @ v[:, h])
        said = np.concatenate(heads, axis=1)
        if gated:
            said = said / (1 + np.exp(-linear("gate", row)))
        y = norm("norm", row + linear("out", said))
        hidden = linear("feed_forward.0", y)
        hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
        want = norm("last_norm", y + linear("feed_forward.3", hidden))
        i = int(np.flatnonzero([torch.equal(torch.from_numpy(row).float(), r) for r in x])[0])
        with torch.no_grad():
            np.testing.assert_allclose(module(x, there)[i].numpy(), want, atol=1e-5)


def test_a_missing_token_says_nothing_and_order_does_not_matter() -> None:
    module, (x, there) = block(gated=True), tokens()
    with torch.no_grad():
        found = module(x, there)
        other = x.clone()
        other[1, [1, 3]] = 100.0
        torch.testing.assert_close(module(other, there)[1, [0, 2]], found[1, [0, 2]])
        turned = [2, 0, 3, 1]
        torch.testing.assert_close(module(x[:, turned], there[:, turned]), found[:, turned])
