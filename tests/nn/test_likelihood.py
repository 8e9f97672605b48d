"""Likelihoods against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from pertscope.nn.likelihood import LIKELIHOODS, Counts, make_likelihood

N_CELLS, N_GENES = 7, 5


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def outputs(rng, name: str) -> torch.Tensor:
    n = N_GENES * make_likelihood(name, N_GENES).n_outputs
    return torch.from_numpy(rng.normal(size=(N_CELLS, n)))


def counts(rng) -> torch.Tensor:
    x = rng.poisson(2, (N_CELLS, N_GENES)).astype(float)
    x[0] = 0  # an empty cell
    return torch.from_numpy(x)


def test_squared_error(rng) -> None:
    out = outputs(rng, "mse")
    x = torch.from_numpy(rng.normal(size=(N_CELLS, N_GENES)))
    made = make_likelihood("mse", N_GENES)
    assert made.loss(out, x).item() == pytest.approx(((out - x) ** 2).mean().item())
    assert made.mean(out, None) is out
    assert made.see(x) is x


def test_gaussian(rng) -> None:
    out = outputs(rng, "gaussian")
    x = torch.from_numpy(rng.normal(size=(N_CELLS, N_GENES)))
    mean, raw = out.numpy()[:, :N_GENES], out[:, N_GENES:]
    sd = np.sqrt(functional.softplus(raw).numpy() + 1e-6)
    want = -2 * stats.norm(mean, sd).logpdf(x.numpy()).mean() - np.log(2 * np.pi)
    made = make_likelihood("gaussian", N_GENES)
    assert made.loss(out, x).item() == pytest.approx(want)
    np.testing.assert_array_equal(made.mean(out, None), mean)


@pytest.mark.parametrize("name", ["nb", "zinb"])
def test_counts(rng, name) -> None:
    out, x = outputs(rng, name), counts(rng)
    made = make_likelihood(name, N_GENES)
    assert isinstance(made, Counts)
    theta = rng.random(N_GENES) * 3 + 0.2
    made.log_dispersion.data = torch.from_numpy(np.log(theta))
    library = x.sum(1).clamp_min(1).numpy()
    shares = out[:, :N_GENES].softmax(1).numpy()
    m = shares * library[:, None]
    p = stats.nbinom(theta, theta / (theta + m)).pmf(x.numpy())
    nothing = np.zeros_like(m)
    if name == "zinb":
        nothing = torch.sigmoid(out[:, N_GENES:]).numpy()
        p = (1 - nothing) * p + nothing * (x.numpy() == 0)
    assert made.loss(out, x).item() == pytest.approx(-2 * np.log(p).mean())
    want = (1 - nothing) * shares * 100
    np.testing.assert_allclose(made.mean(out, torch.full((N_CELLS,), 100.0)).detach(), want)
    np.testing.assert_allclose(made.see(x), np.log1p(x.numpy()))
    with pytest.raises(ValueError, match="`library`"):
        made.mean(out, None)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients_are_numbers(rng, name) -> None:
    """Also where outputs are extreme, and for an empty cell."""
    out = (outputs(rng, name) * 50).requires_grad_()
    make_likelihood(name, N_GENES).double().loss(out, counts(rng)).backward()
    assert torch.isfinite(out.grad).all()


def test_unknown() -> None:
    with pytest.raises(ValueError, match=r"`likelihood`='poisson' must be one of \['mse'"):
        make_likelihood("poisson", 3)
