"""Graph connectivity: are cells of a label connected through each other?"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def graph_connectivity(indices: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each label's cells that are in its largest strongly connected component.

    The graph leads from each cell to its neighbours of the same label.

    Parameters
    ----------
    indices
        Neighbours of each cell, int64 ``(cells, k)``.
    labels
        Label of each cell, int64 ``(cells,)``; codes without gaps.

    Returns
    -------
    float64 ``(labels,)``.

    References
    ----------
    Luecken et al., Nature Methods 19 (2022).
    """
    from scipy.sparse.csgraph import connected_components

    n, k = indices.shape
    row, column = np.repeat(np.arange(n), k), indices.ravel()
    inside = labels[row] == labels[column]
    edges = np.ones(int(inside.sum()), bool), (row[inside], column[inside])
    _, component = connected_components(sp.csr_array(edges, shape=(n, n)), connection="strong")
    _, first, size = np.unique(component, return_index=True, return_counts=True)
    largest = np.zeros(int(labels.max()) + 1)
    np.maximum.at(largest, labels[first], size)
    return largest / np.bincount(labels)
