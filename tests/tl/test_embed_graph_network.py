"""Graph networks trained by link prediction."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.tl.graphs import pairs_of, planted

import pertscope as ps

KINDS = ("gcn", "gin", "wavelet")


@pytest.fixture(scope="module")
def held_out() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Pairs to train on, and pairs that were held out: edges, and none."""
    graph = planted(4, 20, inside=0.6, outside=0.03)
    pairs = pairs_of(graph)
    n_test = len(pairs) // 5
    test = pairs[["entity1", "entity2"]].to_numpy()[:n_test]
    none = list(nx.non_edges(graph))
    drawn = np.random.default_rng(0).choice(len(none), n_test, replace=False)
    return pairs[n_test:], test, np.array([[f"n{i:03}" for i in none[k]] for k in drawn])


@pytest.mark.parametrize("kind", KINDS)
def test_tells_held_out_edges_from_pairs_without(kind, held_out):
    train, edges, none = held_out
    table = ps.tl.embed_graph_network(train, 16, kind=kind, max_epochs=60, accelerator="cpu")
    assert table.shape == (80, 16)
    assert set(table.dtypes) == {np.dtype(np.float32)}
    pairs = np.concatenate([edges, none])
    score = (table.loc[pairs[:, 0]].to_numpy() * table.loc[pairs[:, 1]].to_numpy()).sum(axis=1)
    is_edge = np.arange(len(pairs)) < len(edges)
    same_group = [int(a[1:]) // 20 == int(b[1:]) // 20 for a, b in pairs]
    best = roc_auc_score(is_edge, same_group)  # all that can be known
    assert best > 0.8
    assert roc_auc_score(is_edge, score) > 0.75
    assert roc_auc_score(is_edge, score) < best + 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bytes_and_no_trace(kind):
    pairs = pairs_of(planted(2, 8))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    settings = {"kind": kind, "max_epochs": 5, "accelerator": "cpu"}
    one = ps.tl.embed_graph_network(pairs, 4, **settings)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    again = ps.tl.embed_graph_network(pairs.iloc[::-1], 4, **settings)
    assert one.to_numpy().tobytes() == again.to_numpy().tobytes()
    other = ps.tl.embed_graph_network(pairs, 4, seed=1, **settings)
    assert not np.array_equal(one, other)


def test_lonely_entities_get_no_row():
    pairs = pairs_of(planted(2, 8))
    more = pd.DataFrame({"entity1": ["alone"], "entity2": ["alone"], "weight": [1.0]})
    with pytest.warns(UserWarning, match="they have no edge: 'alone'"):
        table = ps.tl.embed_graph_network(
            pd.concat([pairs, more]), 4, max_epochs=1, accelerator="cpu"
        )
    assert list(table.index) == [f"n{i:03}" for i in range(16)]


def test_more_dimensions_than_nodes_are_learned_too():
    pairs = pd.DataFrame([("a", "b"), ("b", "c")], columns=["entity1", "entity2"])
    table = ps.tl.embed_graph_network(pairs, 8, max_epochs=2, accelerator="cpu")
    assert table.shape == (3, 8)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"kind": "gat"}, "must be one of"),
        ({"n_layers": 0}, "`n_layers`=0"),
        ({"dropout": 1.0}, "`dropout`=1.0"),
        ({"lr": 0.0}, "`lr`=0.0"),
        ({"n_dims": 0}, "`n_dims`=0"),
        ({"max_epochs": 0}, "`max_epochs`=0"),
        ({"accelerator": "abacus"}, "`accelerator`='abacus'"),
        ({"lr": 1e30}, "the validation loss became"),
    ],
)
def test_refuses(settings, match):
    with pytest.raises(ValueError, match=match):
        ps.tl.embed_graph_network(pairs_of(planted(2, 8)), **{"accelerator": "cpu", **settings})


def test_refuses_graphs_without_a_link_to_predict():
    with pytest.raises(ValueError, match="nearly every pair is an edge"):
        ps.tl.embed_graph_network(pairs_of(nx.complete_graph(6)), 2, accelerator="cpu")
    with pytest.raises(ValueError, match="two edges or more"):
        ps.tl.embed_graph_network(pairs_of(nx.path_graph(2)), 2, accelerator="cpu")
    with pytest.raises(ValueError, match="has no edge"):
        ps.tl.embed_graph_network(pairs_of(planted(2, 8)), 2, min_weight=1)
