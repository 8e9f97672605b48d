"""Small graphs, as tables of pairs."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd


def pairs_of(graph: nx.Graph) -> pd.DataFrame:
    """Edges in an order and direction drawn at random, named ``n<node>``, with weights if any."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation([f"n{i:03}", f"n{j:03}"]) for i, j in graph.edges]
    table = pd.DataFrame(rows, columns=["entity1", "entity2"])
    weights = nx.get_edge_attributes(graph, "weight")
    if weights:
        table["weight"] = [weights[edge] for edge in graph.edges]
    return table.sample(frac=1, random_state=0, ignore_index=True)


def planted(
    n_groups: int = 4, size: int = 15, *, inside: float = 0.7, outside: float = 0.05
) -> nx.Graph:
    """Groups of `size` nodes with many edges inside and few outside, weighted."""
    graph = nx.planted_partition_graph(n_groups, size, inside, outside, seed=0)
    rng = np.random.default_rng(1)
    nx.set_edge_attributes(graph, {e: float(rng.uniform(0.2, 1)) for e in graph.edges}, "weight")
    return graph
