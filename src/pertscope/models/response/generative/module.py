"""Network of :class:`pertscope.models.Generative`."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from pertscope.nn.averaged_module import AveragedModule
from pertscope.nn.conditioned_transformer import ConditionedTransformer
from pertscope.nn.paths.diffusion import Diffusion
from pertscope.nn.paths.flow_matching import FlowMatching
from pertscope.nn.paths.schrodinger_bridge import SchrodingerBridge

if TYPE_CHECKING:
    from torch import nn

    from pertscope.nn.paths.path import Path

LEAST_REACH = 5.0
"""Predicted cells may be so far from the mean along a component, or farther if cells are."""

PATHS = ("flow_matching", "diffusion", "schrodinger_bridge")


@final
class GenerativeModule(AveragedModule):
    """Carries principal components of control cells to those of perturbed cells.

    Parameters
    ----------
    path
        One of `PATHS`.
    ema_decay
        Weight of the mean of all earlier weights against the present ones, in the weights that
        predict.
    n_steps
        Steps of a walk; by default those of the path.
    sigma
        Noise of the bridge.
    seed
        Seed of the noise of walks.
    """

    of_single_cells: ClassVar[bool] = True
    center: Tensor
    loadings: Tensor
    scale: Tensor
    reach: Tensor
    vector_center: Tensor
    vector_scale: Tensor

    def __init__(
        self,
        n_genes: int,
        n_perturbations: int,
        n_covariates: int,
        *,
        path: str,
        n_components: int,
        n_per_token: int,
        n_hidden: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
        ema_decay: float,
        n_steps: int | None,
        sigma: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.path = make_path(path, sigma)
        self.n_steps = self.path.n_steps if n_steps is None else n_steps
        self.seed = seed
        self.register_buffer("center", torch.zeros(n_genes))
        self.register_buffer("loadings", torch.zeros(n_genes, n_components))
        self.register_buffer("scale", torch.ones(n_components))
        self.register_buffer("reach", torch.full((n_components,), LEAST_REACH))
        self.register_buffer("vector_center", torch.zeros(n_perturbations))
        self.register_buffer("vector_scale", torch.ones(n_perturbations))
        self.trunk = ConditionedTransformer(
            n_components,
            n_perturbations + n_covariates,
            n_seen=1 + self.path.from_noise,
            n_outputs=self.path.n_outputs,
            n_per_token=n_per_token,
            n_hidden=n_hidden,
            n_layers=n_layers,
            n_heads=n_heads,
            dropout=dropout,
        )

        def lean(mean: Tensor, weight: Tensor, n: Tensor | int) -> Tensor:
            """Towards the present weight, more so at first: a mean of few is of the latest."""
            decay = ((1 + torch.as_tensor(n)) / (10 + torch.as_tensor(n))).clamp(max=ema_decay)
            return torch.lerp(mean, weight, 1 - decay)

        self.averaged = AveragedModel(self.trunk, avg_fn=lean)
        self.averaged.requires_grad_(False)

    def average(self) -> None:
        """Take the weights of the trunk into their mean."""
        self.averaged.update_parameters(self.trunk)

    def project(self, x: Tensor) -> Tensor:
        """Principal components of cells, of variance 1, ``(cells, n_components)``."""
        return (x - self.center) @ self.loadings / self.scale

    def encode(self, seen0: Tensor, covariates: Tensor) -> Tensor:
        """Return the control cells: what their components leave out stays as it is."""
        return seen0

    def outputs(self, state: Tensor, perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Walk once from each control cell; the noise depends on the cells and the seed alone."""
        z0 = self.project(state)
        told = self._condition(perturbations, covariates)

        def field(z: Tensor, t: Tensor) -> Tensor:
            return self.averaged(self._seen(z, z0), t, told)

        drawn = zlib.crc32(state.detach().numpy().tobytes(), self.seed % 2**32)
        generator = torch.Generator().manual_seed(drawn)
        z = self.path.walk(field, z0, reach=self.reach, n_steps=self.n_steps, generator=generator)
        return state + ((z - z0) * self.scale) @ self.loadings.T

    def loss(
        self,
        x0: Tensor,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen0: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Mean squared error of what the network says at a random time on the way."""
        t = _spread(torch.rand(len(x), device=x.device), torch.randperm(len(x), device=x.device))
        noise = torch.randn(len(x), len(self.scale), device=x.device)
        return self._error(self.trunk, t, noise, x0, x, self._condition(perturbations, covariates))

    def validation_loss(
        self,
        x0: Tensor,
        x: Tensor,
        perturbations: Tensor,
        covariates: Tensor,
        seen0: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """The same of the averaged weights, with times and noise that are the same every time.

        Not the error of the prediction: that of a cell that is drawn is least if all are the mean.
        """
        draw = torch.Generator().manual_seed(self.seed)
        t = _spread(torch.full((len(x),), 0.5), torch.randperm(len(x), generator=draw))
        noise = torch.randn(len(x), len(self.scale), generator=draw)
        told = self._condition(perturbations, covariates)
        return self._error(self.averaged, t.to(x), noise.to(x), x0, x, told)

    def _error(
        self, network: nn.Module, t: Tensor, noise: Tensor, x0: Tensor, x: Tensor, told: Tensor
    ) -> Tensor:
        z0 = self.project(x0)
        t, z, target = self.path.between(t, z0, self.project(x), noise)
        return functional.mse_loss(network(self._seen(z, z0), t, told), target)

    def _seen(self, z: Tensor, z0: Tensor) -> Tensor:
        """What the trunk sees of cells: where they are, and where they came from if need be."""
        return torch.stack([z, z0] if self.path.from_noise else [z], dim=1)

    def _condition(self, perturbations: Tensor, covariates: Tensor) -> Tensor:
        vectors = (perturbations - self.vector_center) / self.vector_scale
        return torch.cat([vectors, covariates], dim=1)


def make_path(name: str, sigma: float) -> Path:
    """Path of this name."""
    if name == "schrodinger_bridge":
        return SchrodingerBridge(sigma)
    return Diffusion() if name == "diffusion" else FlowMatching()


def _spread(within: Tensor, order: Tensor) -> Tensor:
    """One time in each of as many equal parts of [0, 1) as there are cells."""
    return (order + within) / len(order)
