"""Pairs of entities as a graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pertscope._core.messages import listed, nearest
from pertscope.tl._embedding_table import tell_left_out

ENTITIES = ("entity1", "entity2")
WEIGHT = "weight"


@dataclass(frozen=True)
class Graph:
    """An undirected graph in which every node has a neighbour.

    Attributes
    ----------
    names
        Nodes, sorted, object ``(nodes,)``.
    adjacency
        Weights, above zero where there is an edge, symmetric without a diagonal: CSR float64
        ``(nodes, nodes)``.
    """

    names: np.ndarray
    adjacency: sp.csr_array

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def degree(self) -> np.ndarray:
        """Sum of the weights of each node, float64 ``(nodes,)``."""
        return np.asarray(self.adjacency.sum(axis=1)).ravel()

    @cached_property
    def component(self) -> np.ndarray:
        """Connected component of each node, int64 ``(nodes,)``."""
        from scipy.sparse.csgraph import connected_components

        return connected_components(self.adjacency, directed=False)[1].astype(np.int64)

    @property
    def n_components(self) -> int:
        """Connected components."""
        return int(self.component.max()) + 1

    @cached_property
    def normalized(self) -> sp.csr_array:
        """``D^(-1/2) A D^(-1/2)``: eigenvalues in [-1, 1], one of them 1 for each component."""
        scale = sp.diags_array(1 / np.sqrt(self.degree))
        return sp.csr_array(scale @ self.adjacency @ scale)


def read_graph(pairs: pd.DataFrame, *, min_weight: float = 0.0) -> Graph:
    """Graph of a table with a row per pair: ``entity1``, ``entity2`` and, if any, ``weight``.

    A pair may come twice, in either order; the higher weight counts. Pairs of an entity with itself
    and weights of `min_weight` or less are no edges; entities without an edge are left out, and a
    warning names them.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If a name is missing, a weight is negative or not finite, or there is no edge.
    """
    missing = [c for c in ENTITIES if c not in pairs.columns]
    if missing:
        raise KeyError(f"the graph has no column {listed(missing)}; {nearest('entity', pairs)}.")
    if not 0 <= min_weight < np.inf:
        raise ValueError(f"`min_weight`={min_weight} must be zero or above.")
    ends = pairs[list(ENTITIES)]
    lost = (ends.isna() | (ends.astype(str) == "")).any(axis=1)
    if lost.any():
        raise ValueError(f"the graph lacks a name in {int(lost.sum())} row(s).")
    names, codes = np.unique(ends.to_numpy().astype(str).ravel(), return_inverse=True)
    one, other = codes.reshape(-1, 2).T
    weight = _weights(pairs)
    kept = (weight > min_weight) & (one != other)
    edges = pd.DataFrame({"i": np.minimum(one, other), "j": np.maximum(one, other), "w": weight})
    edges = edges[kept].groupby(["i", "j"], as_index=False)["w"].max()
    if edges.empty:
        raise ValueError(
            f"the graph has no edge: of {len(pairs)} row(s), {int((one == other).sum())} pair an "
            f"entity with itself, {int((weight <= min_weight).sum())} weigh {min_weight} or less."
        )
    i, j, w = (edges[c].to_numpy() for c in "ijw")
    shape = (len(names), len(names))
    half = sp.coo_array((w, (i, j)), shape=shape)
    adjacency = sp.csr_array(half + half.T)
    alone = np.diff(adjacency.indptr) == 0
    tell_left_out(names[alone], "they have no edge")
    linked = np.flatnonzero(~alone)
    return Graph(names[linked].astype(object), sp.csr_array(adjacency[linked][:, linked]))


def _weights(pairs: pd.DataFrame) -> np.ndarray:
    """Weight of each row, 1 where none are given."""
    if WEIGHT not in pairs.columns:
        return np.ones(len(pairs))
    try:
        weight = pairs[WEIGHT].to_numpy(np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError("the column 'weight' must hold numbers.") from error
    bad = ~np.isfinite(weight) | (weight < 0)
    if bad.any():
        raise ValueError(f"{int(bad.sum())} weight(s) are negative, NaN or infinite.")
    return weight
