"""Paths: what lies on them, and that a walk by an exact network ends where it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.nn.gaussian_mixtures import NORMAL, TWO, Mixture, energy_distance, expected

from pertscope.nn.paths.diffusion import Diffusion, kept_variance
from pertscope.nn.paths.flow_matching import FlowMatching
from pertscope.nn.paths.schrodinger_bridge import SchrodingerBridge

N = 2000
FAR = Mixture([(3, 1), (2, -2)], [0.7, 0.4])
ALIKE = 0.006
"""Energy distance that two samples of N points of one mixture hardly pass."""


def flow_field(start, end):
    def field(z, t):
        z0, z1, _ = expected(z, start, end, 1 - float(t), float(t), 0.0)
        return (z1 - z0)[:, None]

    return field


def bridge_field(start, end, sigma):
    def field(z, t):
        t = float(t)
        z0, z1, noise = expected(z, start, end, 1 - t, t, sigma * np.sqrt(t * (1 - t)))
        return torch.stack([z1 - z0, noise], dim=1)

    return field


def diffusion_field(end):
    def field(z, t):
        kept = float(kept_variance()[round(float(t) * 1000)])
        return expected(z, NORMAL, end, 0.0, np.sqrt(kept), np.sqrt(1 - kept))[2][:, None]

    return field


def walk(path, field, z0, n_steps=None, seed=0, reach=5.0):
    generator, reach = torch.Generator().manual_seed(seed), torch.full(z0.shape[1:], reach)
    n_steps = n_steps or path.n_steps
    return path.walk(field, z0, reach=reach, n_steps=n_steps, generator=generator)


def test_alike() -> None:
    """The threshold of the tests below holds for two samples, and tells a small shift."""
    found = [energy_distance(TWO.draw(N, 2 * i), TWO.draw(N, 2 * i + 1)) for i in range(20)]
    assert max(found) < ALIKE
    assert energy_distance(TWO.draw(N, 0), TWO.draw(N, 1) + torch.tensor([0.2, 0])) > 2 * ALIKE


@pytest.mark.parametrize(("start", "end"), [(NORMAL, TWO), (TWO, FAR), (FAR, NORMAL)])
def test_walks_end_in_the_mixture(start, end) -> None:
    z0, want = start.draw(N, 1), end.draw(N, 2)
    paths = [
        (FlowMatching(), flow_field(start, end), None),
        (SchrodingerBridge(1.0), bridge_field(start, end, 1.0), None),
        (SchrodingerBridge(0.3), bridge_field(start, end, 0.3), None),
        (SchrodingerBridge(1.0), bridge_field(start, end, 1.0), 100),
        (Diffusion(), diffusion_field(end), None),
        (Diffusion(), diffusion_field(end), 100),
    ]
    for path, field, n_steps in paths:
        found = walk(path, field, z0, n_steps)
        assert energy_distance(found, want) < 2 * ALIKE, (path, n_steps)
        assert energy_distance(z0, want) > 20 * ALIKE


def test_diffusion_goes_as_far_as_it_may() -> None:
    end = Mixture([(9, -1), (-7, 1)], [0.5, 0.3])
    z0, want = NORMAL.draw(N, 1), end.draw(N, 2)
    found = walk(Diffusion(), diffusion_field(end), z0, 200, reach=15.0)
    assert energy_distance(found, want) < 2 * ALIKE * 8  # in units of a mixture 8 times as wide
    short = walk(Diffusion(), diffusion_field(end), z0, 200, reach=5.0)
    assert short.abs().max() < 5.2
    assert energy_distance(short, want) > 1


@pytest.mark.parametrize("n_steps", [1, 2, 7, 1000])
def test_times_of_a_short_walk_begin_in_noise(n_steps) -> None:
    """Even one step sees through the noise: of one point, a walk of any length ends there."""
    point, seen = torch.tensor([2.0, -1.0]), []

    def field(z, t):
        seen.append(round(float(t) * 1000))
        kept = float(kept_variance()[seen[-1]])
        return ((z - np.sqrt(kept) * point) / np.sqrt(1 - kept))[:, None]

    found = walk(Diffusion(), field, TWO.draw(20, 0), n_steps)
    torch.testing.assert_close(found, point.expand(20, 2), atol=5e-3, rtol=0)
    assert seen[0] == 999
    assert len(seen) == len(set(seen)) == n_steps
    assert seen == sorted(seen, reverse=True)


def test_flow_recovers_a_known_transport() -> None:
    """Between normal distributions on a line, the flow of straight lines is the affine map."""
    start, end = Mixture([(0, 0)], [1.0]), Mixture([(2, -1)], [0.5])
    z0 = start.draw(500, 0)
    path = FlowMatching()
    found = walk(path, flow_field(start, end), z0)
    # independent pairs: the variance on the way is (1 - t)^2 + (t / 2)^2, the map is still affine
    want = torch.tensor([2.0, -1.0]) + 0.5 * z0
    torch.testing.assert_close(found, want, atol=5e-3, rtol=0)
    coarse = walk(path, flow_field(start, end), z0, n_steps=5)
    assert (coarse - want).abs().max() > 3 * (found - want).abs().max()  # second order


@pytest.mark.parametrize("path", [FlowMatching(), SchrodingerBridge(0.7), Diffusion()])
def test_between(path) -> None:
    rng = np.random.default_rng(0)
    z0, z1, noise = (torch.from_numpy(rng.normal(size=(50, 3))).float() for _ in range(3))
    t = torch.from_numpy(rng.uniform(size=50)).float()
    seen, z, target = path.between(t, z0, z1, noise)
    assert target.shape == (50, path.n_outputs, 3)
    s = t[:, None]
    if isinstance(path, Diffusion):
        kept = torch.from_numpy(kept_variance()).float()[(1000 * t).long()][:, None]
        torch.testing.assert_close(seen, (1000 * t).long() / 1000)
        torch.testing.assert_close(z, kept.sqrt() * z1 + (1 - kept).sqrt() * target[:, 0])
        return
    torch.testing.assert_close(seen, t)
    torch.testing.assert_close(target[:, 0], z1 - z0)
    sigma = path.sigma if isinstance(path, SchrodingerBridge) else 0.0
    want = (1 - s) * z0 + s * z1 + sigma * (s * (1 - s)).sqrt() * noise
    torch.testing.assert_close(z, want)
    ends = path.between(torch.tensor([0.0, 1.0]), z0[:2], z1[:2], noise[:2])[1]
    torch.testing.assert_close(ends, torch.stack([z0[0], z1[1]]))


def test_drift_of_the_bridge_is_that_of_velocity_and_score() -> None:
    """``u + sigma^2 / 2 s``, with the conditional velocity u and score s of the bridge."""
    sigma, t = 0.7, 0.3
    rng = np.random.default_rng(0)
    z0, z1, noise = (torch.from_numpy(rng.normal(size=(9, 3))).float() for _ in range(3))
    path = SchrodingerBridge(sigma)
    _, z, target = path.between(torch.full((9,), t), z0, z1, noise)
    mean = (1 - t) * z0 + t * z1
    velocity = (1 - 2 * t) / (2 * t * (1 - t)) * (z - mean) + z1 - z0
    score = (mean - z) / (sigma**2 * t * (1 - t))
    own = target[:, 0] - sigma * np.sqrt(t / (1 - t)) * target[:, 1]
    torch.testing.assert_close(own, velocity + sigma**2 / 2 * score, atol=1e-5, rtol=1e-5)


def test_schedule_is_the_cosine() -> None:
    kept = kept_variance()
    t = np.arange(1, 1001) / 1000
    want = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    want /= np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(kept[:-1], want[:-1], rtol=1e-9)
    assert 0 < kept[-1] < kept[-2]  # not 0: the cell is divided by its root
    assert kept[0] > 0.999


@pytest.mark.parametrize("path", [SchrodingerBridge(1.0), Diffusion()])
def test_noise_is_the_generator_s(path) -> None:
    z0 = TWO.draw(10, 0)
    field = diffusion_field(TWO) if path.from_noise else bridge_field(TWO, TWO, 1.0)
    state = torch.get_rng_state()
    first, again, other = (walk(path, field, z0, 20, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
