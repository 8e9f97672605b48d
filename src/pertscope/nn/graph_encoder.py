"""Networks that pass messages along the edges of a graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pertscope.nn.chebyshev import ChebyshevFilters
from pertscope.nn.mlp import mlp

KINDS = ("gcn", "gin", "wavelet")


class GraphEncoder(nn.Module):
    """A learned vector of each node, then layers with skip connections.

    ``x <- x + dropout(relu(layer(x, matrix)))``. What the matrix is depends on the kind: A the
    weights, D the degrees.

    =========  ======================================  ==================================
    kind       layer                                   matrix
    =========  ======================================  ==================================
    "gcn"      ``W (M x)``                             ``(D + I)^(-1/2) (A + I) (D + I)^(-1/2)``
    "gin"      ``mlp((1 + e) x + M x)``                ``A``
    "wavelet"  ``W [f_0(L) x, f_1(L) x, ...]``         ``L - I = -D^(-1/2) A D^(-1/2)``
    =========  ======================================  ==================================

    Parameters
    ----------
    n_nodes, n_dims
        Shape of the embedding.
    kind
        See above.
    n_layers
        Layers.
    dropout
        Share of the messages that are left out in training.
    n_terms, n_scales
        Filters of ``"wavelet"``: see :class:`pertscope.nn.chebyshev.ChebyshevFilters`.
    """

    def __init__(
        self,
        n_nodes: int,
        n_dims: int,
        *,
        kind: str,
        n_layers: int,
        dropout: float,
        n_terms: int = 7,
        n_scales: int = 3,
    ) -> None:
        super().__init__()
        self.nodes = nn.Parameter(torch.randn(n_nodes, n_dims) / n_dims**0.5)
        layers: dict[str, Any] = {
            "gcn": lambda: GCNLayer(n_dims),
            "gin": lambda: GINLayer(n_dims),
            "wavelet": lambda: WaveletLayer(n_dims, n_terms=n_terms, n_scales=n_scales),
        }
        self.layers = nn.ModuleList(layers[kind]() for _ in range(n_layers))
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, matrix: Tensor) -> Tensor:
        """Embedding of all nodes, ``(nodes, n_dims)``."""
        x: Tensor = self.nodes
        for layer in self.layers:
            x = x + self.dropout(layer(x, matrix).relu())
        return x

    def logits(self, x: Tensor, pairs: Tensor) -> Tensor:
        """How likely pairs ``(pairs, 2)`` are edges: ``x_i' x_j + b``, ``(pairs,)``."""
        return (x[pairs[:, 0]] * x[pairs[:, 1]]).sum(dim=1) + self.bias


class GCNLayer(nn.Module):
    """Mean over neighbours and the node itself, weighted by degree; Kipf and Welling (2017)."""

    def __init__(self, n_dims: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_dims, n_dims)

    def forward(self, x: Tensor, matrix: Tensor) -> Tensor:
        """Messages, ``(nodes, n_dims)``."""
        return self.linear(times(matrix, x))


class GINLayer(nn.Module):
    """Sum over neighbours, and a network of it; Xu et al. (2019)."""

    def __init__(self, n_dims: int) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.zeros(()))
        self.network = mlp(n_dims, n_dims, n_hidden=n_dims, n_layers=1, dropout=0.0)

    def forward(self, x: Tensor, matrix: Tensor) -> Tensor:
        """Messages, ``(nodes, n_dims)``."""
        return self.network((1 + self.epsilon) * x + times(matrix, x))


class WaveletLayer(nn.Module):
    """What several filters of the graph's spectrum leave, side by side, and a linear map of it."""

    def __init__(self, n_dims: int, *, n_terms: int, n_scales: int) -> None:
        super().__init__()
        self.filters = ChebyshevFilters(n_terms=n_terms, n_scales=n_scales)
        self.linear = nn.Linear((1 + n_scales) * n_dims, n_dims)

    def forward(self, x: Tensor, matrix: Tensor) -> Tensor:
        """Messages, ``(nodes, n_dims)``."""
        return self.linear(self.filtered(x, matrix).transpose(0, 1).flatten(1))

    def filtered(self, x: Tensor, matrix: Tensor) -> Tensor:
        """``f_j(L) x`` of each filter, ``(filters, nodes, n_dims)``, without eigenvectors."""
        coefficients = self.filters.coefficients()
        terms = [x, times(matrix, x)]
        while len(terms) < coefficients.shape[1]:
            terms.append(2 * times(matrix, terms[-1]) - terms[-2])
        return torch.einsum("jk,knd->jnd", coefficients, torch.stack(terms))


def times(matrix: Tensor, x: Tensor) -> Tensor:
    """Product of a symmetric sparse matrix ``(nodes, nodes)`` with x ``(nodes, d)``."""
    product: Tensor = _SymmetricProduct.apply(matrix, x)
    return product


class _SymmetricProduct(torch.autograd.Function):
    """Its gradient needs no transpose, which torch would sort the matrix for at each step."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, x: Tensor) -> Tensor:
        ctx.matrix = matrix
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.matrix @ gradients[0]
