"""Pairs become a graph."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pertscope.tl._graph import read_graph


def table(
    *rows: tuple, columns: tuple[str, ...] = ("entity1", "entity2", "weight")
) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)[: len(rows[0])])


def test_both_orders_duplicates_and_self_pairs():
    graph = read_graph(table(("B", "A", 1.0), ("A", "B", 3.0), ("A", "A", 9.0), ("C", "B", 2.0)))
    assert list(graph.names) == ["A", "B", "C"]
    np.testing.assert_array_equal(graph.adjacency.toarray(), [[0, 3, 0], [3, 0, 2], [0, 2, 0]])


def test_pairs_without_weights_weigh_one():
    graph = read_graph(table(("b", "a"), ("a", "b"), ("b", "c")))
    np.testing.assert_array_equal(graph.adjacency.toarray(), [[0, 1, 0], [1, 0, 1], [0, 1, 0]])


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 2, st.integers(0, 3)), min_size=1, max_size=20))
@settings(max_examples=40)
def test_is_the_graph_that_networkx_reads(rows):
    expected = nx.Graph()
    for i, j, w in rows:
        if i != j and w > 1 and w > expected.get_edge_data(str(i), str(j), {"weight": 0})["weight"]:
            expected.add_edge(str(i), str(j), weight=w)
    pairs = table(*((str(i), str(j), float(w)) for i, j, w in rows))
    if not expected.edges:
        with pytest.raises(ValueError, match="has no edge"):
            read_graph(pairs, min_weight=1)
        return
    alone = {str(n) for i, j, _ in rows for n in (i, j)} - set(expected)
    if alone:
        with pytest.warns(
            UserWarning, match=rf"{len(alone)} name\(s\) get no row, they have no edge"
        ):
            graph = read_graph(pairs, min_weight=1)
    else:
        graph = read_graph(pairs, min_weight=1)
    names = sorted(expected)
    assert list(graph.names) == names
    np.testing.assert_array_equal(graph.adjacency.toarray(), nx.to_numpy_array(expected, names))
    assert graph.n_components == nx.number_connected_components(expected)
    np.testing.assert_array_equal(graph.degree, [expected.degree(n, "weight") for n in names])


def test_normalized():
    graph = read_graph(table(("a", "b", 2.0), ("b", "c", 1.0)))
    a = graph.adjacency.toarray()
    d = a.sum(axis=1)
    np.testing.assert_allclose(graph.normalized.toarray(), a / np.sqrt(np.outer(d, d)), rtol=1e-14)


@pytest.mark.parametrize(
    ("pairs", "error", "match"),
    [
        (table(("a", "b"), columns=("entity1", "other")), KeyError, "no column 'entity2'"),
        (table(("a", None)), ValueError, r"lacks a name in 1 row"),
        (table(("a", "b"), ("", "b")), ValueError, r"lacks a name in 1 row"),
        (table(("a", "b", -1.0)), ValueError, "negative"),
        (table(("a", "b", np.nan)), ValueError, "NaN"),
        (table(("a", "b", "high")), ValueError, "must hold numbers"),
        (table(("a", "a")), ValueError, r"of 1 row\(s\), 1 pair an entity with itself"),
        (table(("a", "b")).iloc[:0], ValueError, "has no edge"),
    ],
)
def test_refuses(pairs, error, match):
    with pytest.raises(error, match=match):
        read_graph(pairs)


def test_refuses_a_negative_threshold():
    with pytest.raises(ValueError, match="must be zero or above"):
        read_graph(table(("a", "b")), min_weight=-1)
