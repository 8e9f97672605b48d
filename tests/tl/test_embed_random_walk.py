"""Random walks in closed form."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from tests.tl.graphs import pairs_of, planted

import pertscope as ps
from pertscope.tl import _embed_random_walk, _graph_spectrum
from pertscope.tl._graph import read_graph


def walk_matrix(a: np.ndarray, window: int, n_negative: float) -> np.ndarray:
    """``log max(1, vol / (b T) (P + ... + P^T) D^-1)``, step by step."""
    degree = a.sum(axis=1)
    step = a / degree[:, None]
    power, total = np.eye(len(a)), np.zeros_like(a)
    for _ in range(window):
        power = power @ step
        total += power
    return np.log(np.maximum(1, a.sum() / (n_negative * window) * total / degree))


def two_components() -> nx.Graph:
    small = nx.cycle_graph(5)
    nx.set_edge_attributes(small, 0.5, "weight")
    return nx.disjoint_union(planted(3, 10), small)


@pytest.mark.parametrize(("window", "n_negative"), [(1, 1.0), (4, 0.7), (10, 1.0)])
@pytest.mark.parametrize("graph", [planted(), two_components()], ids=["one", "two"])
def test_is_the_factorised_matrix(graph, window, n_negative):
    a = nx.to_numpy_array(graph, sorted(graph))
    m = walk_matrix(a, window, n_negative)
    pairs = pairs_of(graph)
    got = _embed_random_walk.log_walks(read_graph(pairs), window, n_negative)
    np.testing.assert_allclose(got.toarray(), m, atol=1e-5)
    u, s, _ = np.linalg.svd(m)
    z = ps.tl.embed_random_walk(pairs, 8, window=window, n_negative=n_negative).to_numpy()
    expected = (u[:, :8] * s[:8]) @ u[:, :8].T  # no sign, no rotation
    np.testing.assert_allclose(z @ z.T, expected, atol=1e-3 * s[0])


def test_large_graphs_are_decomposed_by_products(monkeypatch):
    """And the same bytes whatever the order of the pairs."""
    pairs = pairs_of(planted())
    exact = ps.tl.embed_random_walk(pairs, 4).to_numpy()
    monkeypatch.setattr(_graph_spectrum, "EXACT_SIZE", 0)
    got = ps.tl.embed_random_walk(pairs, 4).to_numpy()
    np.testing.assert_allclose(got, exact, atol=1e-4)
    again = ps.tl.embed_random_walk(pairs.iloc[::-1], 4).to_numpy()
    assert got.tobytes() == again.tobytes()


def test_blocks_of_rows_make_the_same_matrix(monkeypatch):
    graph = read_graph(pairs_of(two_components()))
    whole = _embed_random_walk.log_walks(graph, 3, 1.0)
    monkeypatch.setattr(_embed_random_walk, "BLOCK_ROWS", 7)
    parts = _embed_random_walk.log_walks(graph, 3, 1.0)
    np.testing.assert_allclose(parts.toarray(), whole.toarray(), atol=1e-6)


def test_refuses():
    pairs = pd.DataFrame([("a", "b"), ("b", "c")], columns=["entity1", "entity2"])
    assert ps.tl.embed_random_walk(pairs, 2, window=1).shape == (3, 2)
    with pytest.raises(ValueError, match="at most 2: the graph has 3 nodes"):
        ps.tl.embed_random_walk(pairs, 3)
    with pytest.raises(ValueError, match="`window`=0"):
        ps.tl.embed_random_walk(pairs, 2, window=0)
    with pytest.raises(ValueError, match="no pair is nearer"):  # ten steps end anywhere
        ps.tl.embed_random_walk(pairs, 2)
    with pytest.raises(ValueError, match="no pair is nearer"):
        ps.tl.embed_random_walk(pairs_of(nx.complete_graph(5)), 2, n_negative=9)
    with pytest.raises(ValueError, match="`n_negative`=0"):
        ps.tl.embed_random_walk(pairs, 2, n_negative=0)
