"""Noisy lines from control cells to perturbed cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import torch

from pertscope.nn.paths.path import Path

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pertscope.nn.paths.path import Field


@final
@dataclass(frozen=True)
class SchrodingerBridge(Path):
    r"""A diffusion ``dz = u(z, t) dt + sigma dW`` that carries controls to perturbed cells.

    Cells move along Brownian bridges ``z_t = (1 - t) z_0 + t z_1 + sigma sqrt(t (1 - t)) e``. The
    network learns the means, over the cells that pass through a place, of the velocity
    ``z_1 - z_0`` and of the noise e, which is the score ``s = - e / (sigma sqrt(t (1 - t)))``; the
    drift is

    .. math:: u = E[z_1 - z_0] - \sigma \sqrt{t / (1 - t)}\, E[e]

    Both targets stay finite at either end, where velocity and score of the bridge do not. The
    Schroedinger bridge in the strict sense is that between controls and cells which are paired by
    the entropic optimal transport plan of regularisation ``2 sigma^2``.

    Parameters
    ----------
    sigma
        Size of the noise.

    References
    ----------
    Tong et al., Simulation-free Schroedinger bridges via score and flow matching (2023).
    """

    n_outputs: ClassVar[int] = 2
    from_noise: ClassVar[bool] = False
    n_steps: ClassVar[int] = 250

    sigma: float = 1.0

    def between(
        self, t: Tensor, z0: Tensor, z1: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Places on the bridge; velocity and noise."""
        width = self.sigma * (t * (1 - t)).sqrt()
        z = torch.lerp(z0, z1, t[:, None]) + width[:, None] * noise
        return t, z, torch.stack([z1 - z0, noise], dim=1)

    def walk(
        self, field: Field, z0: Tensor, *, reach: Tensor, n_steps: int, generator: Generator
    ) -> Tensor:
        """Euler's method; the noise of a step has the variance of the bridge, 0 in the last one."""
        z, dt = z0, 1 / n_steps
        for step in range(n_steps):
            t = step * dt
            velocity, noise = field(z, z.new_tensor([t])).unbind(dim=1)
            left = max(1 - t - dt, 0) / (1 - t)
            drift = velocity - self.sigma * math.sqrt(t / (1 - t)) * noise
            fresh = torch.randn(z.shape, generator=generator)
            z = z + dt * drift + self.sigma * math.sqrt(dt * left) * fresh
        return z
