"""From noise to perturbed cells."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
import torch

from pertscope.nn.paths.path import Path

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pertscope.nn.paths.path import Field

N_TIMES = 1000


@final
class Diffusion(Path):
    r"""Noise is taken from a cell step by step, as it was added to it.

    ``z_t = sqrt(a_t) z_1 + sqrt(1 - a_t) e`` for 1,000 times with a_t falling from 1 to 0 by the
    square of a cosine; the network learns the noise e. It is shown the control cell as well, since
    the walk starts from noise.

    References
    ----------
    Ho, Jain and Abbeel, Denoising diffusion probabilistic models (2020). Nichol and Dhariwal,
    Improved denoising diffusion probabilistic models (2021): cosine, and walks of fewer steps.
    """

    n_outputs: ClassVar[int] = 1
    from_noise: ClassVar[bool] = True
    n_steps: ClassVar[int] = N_TIMES
    max_steps: ClassVar[int | None] = N_TIMES

    def between(
        self, t: Tensor, z0: Tensor, z1: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy cells, and their noise; the control cells are not used."""
        time = (t * N_TIMES).long().clamp(max=N_TIMES - 1)
        kept = torch.from_numpy(kept_variance()).to(z1)[time][:, None]
        return time / N_TIMES, kept.sqrt() * z1 + (1 - kept).sqrt() * noise, noise[:, None]

    def walk(
        self, field: Field, z0: Tensor, *, reach: Tensor, n_steps: int, generator: Generator
    ) -> Tensor:
        """From noise, one time after the other: of the 1,000, evenly spaced ones from the last.

        The cell that is seen through the noise is no farther away than `reach`.
        """
        times = np.linspace(N_TIMES - 1, 0, n_steps).round().astype(int)
        kept = kept_variance()[times]
        z = torch.randn(z0.shape, generator=generator)
        for i, time in enumerate(times):
            now, later = float(kept[i]), float(kept[i + 1]) if i + 1 < len(times) else 1.0
            noise = field(z, z.new_tensor([time / N_TIMES]))[:, 0]
            cell = (z - math.sqrt(1 - now) * noise) / math.sqrt(now)
            cell = cell.clamp(-reach, reach)  # in much noise, small errors are large ones
            share = now / later
            of_cell = math.sqrt(later) * (1 - share) / (1 - now)
            of_noisy = math.sqrt(share) * (1 - later) / (1 - now)
            width = math.sqrt((1 - share) * (1 - later) / (1 - now))
            fresh = torch.randn(z.shape, generator=generator)
            z = of_cell * cell + of_noisy * z + width * fresh
        return z


@cache
def kept_variance() -> np.ndarray:
    """Share of a cell's variance that is left at each time, float64 ``(times,)``."""
    angle = (np.arange(N_TIMES + 1) / N_TIMES + 0.008) / 1.008 * np.pi / 2
    left = np.cos(angle) ** 2
    return np.cumprod(1 - np.minimum(1 - left[1:] / left[:-1], 0.999))
