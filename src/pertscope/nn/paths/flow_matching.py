"""Straight lines from control cells to perturbed cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import torch

from pertscope.nn.paths.path import Path

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pertscope.nn.paths.path import Field


@final
class FlowMatching(Path):
    """A flow ``dz/dt = v(z, t)`` that carries controls to perturbed cells, step by midpoint.

    Cells move along ``z_t = (1 - t) z_0 + t z_1``, the path of optimal transport between two points
    (CondOT), at velocity ``z_1 - z_0``; v is its mean over the cells that pass through a place.

    References
    ----------
    Lipman et al., Flow matching for generative modeling (2022).
    """

    n_outputs: ClassVar[int] = 1
    from_noise: ClassVar[bool] = False
    n_steps: ClassVar[int] = 20

    def between(
        self, t: Tensor, z0: Tensor, z1: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Places on the line, and its velocity; the noise is not used."""
        return t, torch.lerp(z0, z1, t[:, None]), (z1 - z0)[:, None]

    def walk(
        self, field: Field, z0: Tensor, *, reach: Tensor, n_steps: int, generator: Generator
    ) -> Tensor:
        """Midpoint method; draws nothing, and goes as far as it goes."""
        z, dt = z0, 1 / n_steps
        for step in range(n_steps):
            t = z.new_tensor([step * dt])
            middle = z + dt / 2 * field(z, t)[:, 0]
            z = z + dt * field(middle, t + dt / 2)[:, 0]
        return z
