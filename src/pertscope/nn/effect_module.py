"""The base of networks of the effect of a condition."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class EffectModule(nn.Module, ABC):
    """Maps what is known of conditions to their effects.

    Inputs are tensors with conditions along the first axis, as many as the subclass takes.
    """

    @abstractmethod
    def outputs(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Effects ``(conditions, genes)``, and what the training loss holds beside them, ``()``."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Effects ``(conditions, genes)``."""
        return self.outputs(*inputs)[0]

    def loss(self, inputs: tuple[Tensor, ...], effects: Tensor) -> Tensor:
        """Mean over conditions of ``|e - f(c)|_2``, and what else the network learns by."""
        found, more = self.outputs(*inputs)
        return mean_l2(found, effects) + more

    def validation_loss(self, inputs: tuple[Tensor, ...], effects: Tensor) -> Tensor:
        """Mean over conditions of ``|e - f(c)|_2``."""
        return mean_l2(self(*inputs), effects)


def mean_l2(found: Tensor, effects: Tensor) -> Tensor:
    """Mean over rows of the Euclidean length of a difference."""
    return torch.linalg.vector_norm(found - effects, dim=1).mean()


def start_at_mean(head: nn.Linear, mean: Tensor) -> None:
    """Make the last layer of a network say the mean training effect ``(genes,)`` for all.

    So training goes down from the floor, and what is learned on top is what conditions differ by.
    """
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(mean)
