"""The opponent that keeps a latent state free of what was done to the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from pertscope.nn.mlp import mlp

if TYPE_CHECKING:
    from collections.abc import Sequence


@final
class Adversary(nn.Module):
    """Tells perturbations and covariates from a latent state, by a perceptron for each target.

    It sees the state standardised over the cells of the batch: otherwise the encoder could deceive
    it by making the state small, and leave in it all that it should not say.

    Parameters
    ----------
    n_latent
        Dimensions of the latent state.
    n_perturbations
        Length of the multi-hot perturbations, the first target.
    covariate_sizes
        Values of each covariate: the lengths of its one-hot blocks, a target each.
    n_hidden, n_layers
        Of each perceptron. They have no dropout: a penalty holds them back already.
    """

    def __init__(
        self,
        n_latent: int,
        n_perturbations: int,
        covariate_sizes: Sequence[int],
        *,
        n_hidden: int,
        n_layers: int,
    ) -> None:
        super().__init__()
        self.covariate_sizes = list(covariate_sizes)
        self.heads = nn.ModuleList(
            mlp(n_latent, n, n_hidden=n_hidden, n_layers=n_layers, dropout=0.0)
            for n in (n_perturbations, *covariate_sizes)
        )

    def look(self, z: Tensor) -> Tensor:
        """Latent states ``(cells, n_latent)`` as the perceptrons see them: mean 0, variance 1."""
        return functional.batch_norm(z, None, None, training=True, eps=1e-10)

    def logits(self, seen: Tensor) -> list[Tensor]:
        """Of perturbations, then of each covariate, ``(cells, values)``."""
        return [head(seen) for head in self.heads]

    def loss(self, logits: Sequence[Tensor], perturbations: Tensor, covariates: Tensor) -> Tensor:
        """Negative log-likelihood of what was done to a cell, in nats: a mean over cells.

        Each perturbation is a Bernoulli variable (combinations have several, controls none), each
        covariate a categorical one.
        """
        applied = (perturbations > 0).to(logits[0].dtype)  # whatever the dose
        binary = functional.binary_cross_entropy_with_logits(logits[0], applied, reduction="none")
        loss = binary.sum(1).mean()
        blocks = covariates.split(self.covariate_sizes, dim=1) if self.covariate_sizes else ()
        for predicted, block in zip(logits[1:], blocks, strict=True):
            loss = loss + functional.cross_entropy(predicted, block)
        return loss

    def penalty(self, logits: Sequence[Tensor], seen: Tensor) -> Tensor:
        """Squared gradients of each target's summed logits: a mean over cells and dimensions.

        ``sum_t mean (d sum_k logits_tk / d seen)^2``: an adversary that is smooth gives gradients
        that the encoder can follow.
        """
        gradients = [
            torch.autograd.grad(target.sum(), seen, create_graph=True)[0] for target in logits
        ]
        return torch.stack([g.square().mean() for g in gradients]).sum()
