"""Multilayer perceptron of what was done and where."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pertscope.nn.effect_module import EffectModule, start_at_mean
from pertscope.nn.mlp import mlp


class ContextMLPModule(EffectModule):
    """Effects ``f([z, c])`` of vectors z and contexts c.

    Parameters
    ----------
    n_perturbation, n_context
        Lengths of z and c.
    mean
        Mean training effect ``(genes,)``, with which f starts.
    n_hidden, n_layers, dropout
        See :func:`pertscope.nn.mlp.mlp`.
    """

    def __init__(
        self,
        n_perturbation: int,
        n_context: int,
        *,
        mean: Tensor,
        n_hidden: int,
        n_layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        n_in = n_perturbation + n_context
        self.network = mlp(n_in, len(mean), n_hidden=n_hidden, n_layers=n_layers, dropout=dropout)
        start_at_mean(cast("nn.Linear", self.network[-1]), mean)

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Effects of vectors and contexts, each ``(conditions, length)``; nothing beside."""
        found = self.network(torch.cat(inputs, dim=1))
        return found, found.new_zeros(())
