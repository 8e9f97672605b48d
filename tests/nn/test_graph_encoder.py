"""Layers of graph networks, against dense formulas."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.tl.graphs import planted

from pertscope.models.embedding.link_prediction import _matrix, _non_edges
from pertscope.nn.graph_encoder import KINDS, GraphEncoder, times

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def adjacency() -> sp.csr_array:
    graph = planted(2, 8)
    graph.add_node(99)  # its edges may all be held out
    return sp.csr_array(nx.to_scipy_sparse_array(graph, weight="weight"))


def dense(adjacency: sp.csr_array, kind: str) -> np.ndarray:
    a = adjacency.toarray()
    if kind == "gin":
        return a / a.max()
    if kind == "gcn":
        a = a + np.eye(len(a))
        d = a.sum(axis=1)
        return a / np.sqrt(np.outer(d, d))
    d = a.sum(axis=1)
    d[d == 0] = 1
    return -a / np.sqrt(np.outer(d, d))


@pytest.mark.parametrize("kind", KINDS)
def test_matrix(kind, adjacency):
    got = _matrix(adjacency, kind, CPU).to_dense().numpy()
    np.testing.assert_allclose(got, dense(adjacency, kind), atol=1e-6)


def test_product_and_its_gradient(adjacency):
    matrix = _matrix(adjacency, "gcn", CPU)
    x = torch.randn(17, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    times(matrix, x).pow(2).sum().backward()
    got = x.grad.clone()
    x.grad = None
    (matrix.to_dense() @ x).pow(2).sum().backward()
    torch.testing.assert_close(got, x.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_encoder_adds_messages_to_the_nodes(kind, adjacency):
    torch.manual_seed(0)
    module = GraphEncoder(17, 5, kind=kind, n_layers=2, dropout=0.5).eval()
    matrix = _matrix(adjacency, kind, CPU)
    x, m = module.nodes.detach(), matrix.to_dense()
    for layer in module.layers:
        if kind == "gcn":
            message = layer.linear(m @ x)
        elif kind == "gin":
            message = layer.network((1 + layer.epsilon) * x + m @ x)
        else:
            c = layer.filters.coefficients()
            terms = [torch.eye(17), m]
            while len(terms) < c.shape[1]:
                terms.append(2 * m @ terms[-1] - terms[-2])
            kept = [sum(c[j, k] * t for k, t in enumerate(terms)) @ x for j in range(len(c))]
            message = layer.linear(torch.cat(kept, dim=1))
        x = x + torch.relu(message)
    torch.testing.assert_close(module(matrix), x, rtol=1e-4, atol=1e-5)


def test_non_edges_are_none_and_all_alike():
    """Of 4 nodes in a path 3 pairs are free: each is drawn a third of the time."""
    known = np.array([0 * 4 + 1, 1 * 4 + 2, 2 * 4 + 3])
    drawn = _non_edges(4, known, 6000, np.random.default_rng(0))
    assert drawn.shape == (6000, 2)
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    np.testing.assert_array_equal(pairs, [[0, 2], [0, 3], [1, 3]])
    assert abs(counts / 6000 - 1 / 3).max() < 0.03
