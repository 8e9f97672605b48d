"""Clusters of cells, and how well they agree with labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pertscope._core.neighbors import Neighbors

RESOLUTIONS = tuple(round(0.2 * i, 1) for i in range(1, 11))
"""Resolutions among which Leiden's is chosen."""


def leiden_clusters(neighbors: Neighbors, *, seed: int = 0) -> list[np.ndarray]:
    """Leiden clusters at resolutions 0.2, 0.4, ..., 2.0, as scanpy and scib find them.

    Modularity on UMAP's weights of the neighbour graph.

    Returns
    -------
    One int64 ``(cells,)`` for each resolution.

    Raises
    ------
    ImportError
        If igraph is not installed.
    """
    try:
        import igraph
    except ImportError as error:
        raise ImportError(
            "`nmi_leiden`, `ari_leiden` and `isolated_labels_f1` need igraph: "
            "`pip install 'pertscope[leiden]'`, or name other `metrics`."
        ) from error
    import random

    from umap.umap_ import fuzzy_simplicial_set

    n, k = neighbors.indices.shape
    indices = np.column_stack([np.arange(n), neighbors.indices])  # UMAP counts the cell itself
    distances = np.column_stack([np.zeros(n), neighbors.distances]).astype(np.float32)
    weights = fuzzy_simplicial_set(
        np.empty((n, 1), np.float32),
        n_neighbors=k + 1,
        random_state=None,
        metric="euclidean",
        knn_indices=indices,
        knn_dists=distances,
    )[0]
    edges = weights.tocoo()  # each edge both ways, as scanpy and scib-metrics
    graph = igraph.Graph(n, np.column_stack([edges.row, edges.col]), directed=False)
    found = []
    try:
        for resolution in RESOLUTIONS:
            igraph.set_random_number_generator(random.Random(seed))
            clusters = graph.community_leiden(
                "modularity", weights=edges.data.astype(float).tolist(), resolution=resolution
            )
            found.append(np.asarray(clusters.membership, dtype=np.int64))
    finally:
        igraph.set_random_number_generator(random)  # as igraph leaves it
    return found


def k_means_clusters(x: np.ndarray, n_clusters: int, *, seed: int = 0) -> np.ndarray:
    """k-means clusters, int64 ``(cells,)``; fewer than asked where fewer points are distinct."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    x = np.asarray(x, dtype=np.float64)
    # sums of several threads are added in any order
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        return KMeans(n_clusters, n_init=1, random_state=seed).fit(x).labels_.astype(np.int64)


def agreement(labels: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Normalised mutual information (arithmetic mean) and adjusted Rand index."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    return (
        float(normalized_mutual_info_score(labels, clusters)),
        float(adjusted_rand_score(labels, clusters)),
    )


def isolated(labels: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """Labels that are in the fewest batches, int64."""
    pairs = np.unique(np.column_stack([labels, batch]), axis=0)
    n_batches = np.bincount(pairs[:, 0])
    return np.flatnonzero(n_batches == n_batches.min())


def isolated_f1(labels: np.ndarray, which: np.ndarray, clusterings: list[np.ndarray]) -> float:
    """Best F1 of any cluster of any clustering for a label, averaged over the labels `which`.

    ``F1 = 2 n_lc / (n_l + n_c)`` with n_lc the cells of label l in cluster c.
    """
    n_labels = int(labels.max()) + 1
    best = np.zeros(n_labels)
    for clusters in clusterings:
        n_clusters = int(clusters.max()) + 1
        both = np.bincount(labels * n_clusters + clusters, minlength=n_labels * n_clusters)
        both = both.reshape(n_labels, n_clusters)
        total = both.sum(axis=1, keepdims=True) + both.sum(axis=0)
        best = np.maximum(best, (2 * both / total).max(axis=1))
    return float(best[which].mean())
