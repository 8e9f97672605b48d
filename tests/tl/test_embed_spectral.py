"""Laplacian eigenmaps."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from sklearn.manifold import spectral_embedding
from tests.tl.graphs import pairs_of, planted

import pertscope as ps
from pertscope.tl import _graph_spectrum


def adjacency(graph: nx.Graph) -> np.ndarray:
    return nx.to_numpy_array(graph, sorted(graph))


@pytest.mark.parametrize("exact", [True, False])
def test_is_scikit_learns(exact, monkeypatch):
    if not exact:
        monkeypatch.setattr(_graph_spectrum, "EXACT_SIZE", 0)
    graph = planted()
    got = ps.tl.embed_spectral(pairs_of(graph), 6)
    expected = spectral_embedding(
        adjacency(graph), n_components=6, eigen_solver="arpack", random_state=0
    )
    assert list(got.index) == [f"n{i:03}" for i in range(len(graph))]
    assert got.dtypes.unique() == [np.float32]
    sign = np.sign((got.to_numpy() * expected).sum(axis=0))
    np.testing.assert_allclose(got * sign, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_several_components_are_eigenvectors_above_zero(exact, monkeypatch):
    """Against the whole Laplacian: the same subspace of the smallest eigenvalues above zero."""
    if not exact:
        monkeypatch.setattr(_graph_spectrum, "EXACT_SIZE", 0)
    graph = nx.disjoint_union(planted(2, 10, outside=0.1), nx.barbell_graph(6, 3))
    a = adjacency(nx.Graph(graph))
    d = a.sum(axis=1)
    values, vectors = np.linalg.eigh(np.eye(len(a)) - a / np.sqrt(np.outer(d, d)))
    n_components = nx.number_connected_components(graph)
    assert n_components == 2 == (values < 1e-10).sum()
    expected = vectors[:, 2:5] / np.sqrt(d)[:, None]
    got = ps.tl.embed_spectral(pairs_of(weighted(graph)), 3).to_numpy()
    sign = np.sign((got * expected).sum(axis=0))
    np.testing.assert_allclose(got * sign, expected, atol=1e-6)


def weighted(graph: nx.Graph) -> nx.Graph:
    """Edges without a weight get 1."""
    for *_, data in graph.edges(data=True):
        data.setdefault("weight", 1.0)
    return graph


def test_groups_are_apart():
    got = ps.tl.embed_spectral(pairs_of(planted()), 3).to_numpy()
    group = np.arange(60) // 15
    centre = np.array([got[group == g].mean(axis=0) for g in range(4)])
    nearest = ((got[:, None] - centre) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, group)


def test_small_components_and_lonely_entities_are_named():
    pairs = pairs_of(nx.Graph(planted(2, 10, outside=0.2).edges))
    more = pd.DataFrame([("p", "q"), ("lonely", "lonely")], columns=pairs.columns)
    with (
        pytest.warns(UserWarning, match=r"1 name\(s\) get no row, they have no edge: 'lonely'"),
        pytest.warns(UserWarning, match="2 name.* part of the graph: 'p', 'q'"),
    ):
        got = ps.tl.embed_spectral(pd.concat([pairs, more]), 4)
    assert got.shape == (20, 4)
    pd.testing.assert_frame_equal(got, ps.tl.embed_spectral(pairs, 4))


@pytest.mark.filterwarnings("ignore:.*get no row:UserWarning")
def test_weights_below_the_threshold_do_not_count():
    pairs = pairs_of(planted())
    kept = pairs[pairs["weight"] > 0.5]
    got = ps.tl.embed_spectral(pairs, 5, min_weight=0.5)
    pd.testing.assert_frame_equal(got, ps.tl.embed_spectral(kept, 5))


def test_same_bytes_whatever_the_order_of_the_pairs(monkeypatch):
    monkeypatch.setattr(_graph_spectrum, "EXACT_SIZE", 0)
    pairs = pairs_of(planted())
    one = ps.tl.embed_spectral(pairs, 5)
    swapped = pairs.iloc[::-1].rename(columns={"entity1": "entity2", "entity2": "entity1"})
    assert one.to_numpy().tobytes() == ps.tl.embed_spectral(swapped, 5).to_numpy().tobytes()


def test_no_more_dimensions_than_the_graph_has():
    pairs = pd.DataFrame([("a", "b"), ("b", "c"), ("x", "y")], columns=["entity1", "entity2"])
    with pytest.raises(ValueError, match="at most 3: the graph has 5 nodes in 2 connected"):
        ps.tl.embed_spectral(pairs, 4)
    assert ps.tl.embed_spectral(pairs, 3).shape == (5, 3)
    with pytest.raises(ValueError, match="at least 1"):
        ps.tl.embed_spectral(pairs, 0)


def test_real_genes_of_a_complex_lie_together(data_dir):
    """Proteasome subunits, known from Reactome's pathways."""
    path = data_dir / "gene_relationships" / "HuMAP.txt"
    if not path.is_file():
        pytest.skip(f"no real data: {path} is not there")
    pairs = ps.datasets.relationships(path)
    with pytest.warns(UserWarning, match="part of the graph"):
        table = ps.tl.embed_spectral(pairs, 32)
    x = table.to_numpy() / np.linalg.norm(table.to_numpy(), axis=1, keepdims=True)
    place = {gene: i for i, gene in enumerate(table.index)}
    genes = [place[f"PSM{k}"] for k in ("A1", "A2", "A3", "B1", "B2", "C1", "C2", "D1")]
    inside = (x[genes] @ x[genes].T)[np.triu_indices(len(genes), 1)].mean()
    assert inside > 0.9
    assert (x[genes] @ x.T).mean() < 0.2
