"""Mixtures of round normal distributions, whose paths into each other are known in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.distance import cdist


class Mixture(NamedTuple):
    """Equal shares of normal distributions ``N(mean_k, width_k^2 I)`` in the plane."""

    means: list[tuple[float, float]]
    widths: list[float]

    def draw(self, n: int, seed: int) -> torch.Tensor:
        """Draw points, float32 ``(n, 2)``."""
        rng = np.random.default_rng(seed)
        k = rng.integers(len(self.means), size=n)
        points = np.array(self.means)[k] + np.array(self.widths)[k, None] * rng.normal(size=(n, 2))
        return torch.from_numpy(points.astype(np.float32))


NORMAL = Mixture([(0, 0)], [1.0])
TWO = Mixture([(-1.2, 0), (1.2, 0.4)], [0.3, 0.2])


def expected(z, start, end, of_start, of_end, of_noise) -> tuple[torch.Tensor, ...]:
    """Means of z_0, z_1 and e given ``z = of_start z_0 + of_end z_1 + of_noise e``.

    With z_0 and z_1 drawn apart from the mixtures `start` and `end`, and e standard normal.
    """
    weights, found = [], []
    for m0, s0 in zip(*start, strict=True):
        for m1, s1 in zip(*end, strict=True):
            m0_, m1_ = torch.tensor(m0), torch.tensor(m1)
            off = z - of_start * m0_ - of_end * m1_
            variance = (of_start * s0) ** 2 + (of_end * s1) ** 2 + of_noise**2
            weights.append(-off.square().sum(1) / 2 / variance - np.log(variance))
            z0 = m0_ + of_start * s0**2 / variance * off
            z1 = m1_ + of_end * s1**2 / variance * off
            found.append(torch.stack([z0, z1, of_noise / variance * off]))
    share = torch.softmax(torch.stack(weights), dim=0)[:, None, :, None]
    return (torch.stack(found) * share).sum(0).float().unbind()


def energy_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """``2 E|x - y| - E|x - x'| - E|y - y'|`` without the pairs of a point with itself."""
    x, y = x.detach().numpy(), y.detach().numpy()
    within = [cdist(a, a).sum() / len(a) / (len(a) - 1) for a in (x, y)]
    return float(2 * cdist(x, y).mean() - sum(within))
