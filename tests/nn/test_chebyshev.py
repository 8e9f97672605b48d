"""Filters of the spectrum, against the spectrum itself."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from numpy.polynomial import chebyshev

from pertscope.nn.chebyshev import ChebyshevFilters
from pertscope.nn.graph_encoder import WaveletLayer


@pytest.fixture(params=[2, 3, 7])
def filters(request) -> ChebyshevFilters:
    torch.manual_seed(0)
    module = ChebyshevFilters(n_terms=request.param, n_scales=3).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def formula(module: ChebyshevFilters, values: np.ndarray) -> np.ndarray:
    """The definition, by NumPy's Chebyshev polynomials."""
    n_terms = int(module.orders[-1])
    scale = 1 / (1 + np.exp(-module.scale.detach().numpy()))

    def term(k: int, at: np.ndarray) -> np.ndarray:
        return (1 - chebyshev.chebval(at - 1, np.eye(n_terms + 1)[k])) / 2

    low = zip(range(1, n_terms + 1, 2), module.low.detach().numpy(), strict=True)
    wave = list(zip(range(2, n_terms + 1, 2), module.wavelet.detach().numpy(), strict=True))
    rows = [sum(b * term(k, values) for k, b in low)]
    rows += [sum(a * term(k, s * values) for k, a in wave) for s in scale]
    return np.array(rows)


def test_response_is_its_formula(filters):
    values = np.linspace(0, 2, 50)
    got = filters.response(torch.as_tensor(values)).detach().numpy()
    np.testing.assert_allclose(got, formula(filters, values), atol=1e-6)
    np.testing.assert_allclose(got[1:, 0], 0, atol=1e-12)  # wavelets have no mean
    np.testing.assert_allclose(got[0, 0], filters.low.detach().sum(), atol=1e-12)


def test_filters_are_those_of_the_eigenvectors(filters):
    """Recursion on the sparse Laplacian against its exact decomposition."""
    graph = nx.connected_caveman_graph(3, 5)
    laplacian = nx.normalized_laplacian_matrix(graph).toarray()
    values, vectors = np.linalg.eigh(laplacian)
    x = np.random.default_rng(0).standard_normal((15, 4))
    layer = WaveletLayer(4, n_terms=int(filters.orders[-1]), n_scales=3).double()
    layer.filters = filters
    matrix = torch.as_tensor(laplacian - np.eye(15))
    got = layer.filtered(torch.as_tensor(x), matrix).detach().numpy()
    for j, response in enumerate(formula(filters, values)):
        expected = vectors @ (response[:, None] * (vectors.T @ x))
        np.testing.assert_allclose(got[j], expected, atol=1e-5)


def test_all_is_learned(filters):
    filters.coefficients().pow(2).sum().backward()
    for name, parameter in filters.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().min() > 0, name
