"""Entities by the slowest vibrations of their graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.tl._embedding_table import check_n_dims
from pertscope.tl._graph import read_graph
from pertscope.tl._graph_spectrum import reached_table, slow_eigenpairs

if TYPE_CHECKING:
    import pandas as pd


def embed_spectral(
    graph: pd.DataFrame, n_dims: int = 128, *, min_weight: float = 0.0
) -> pd.DataFrame:
    """Embed a graph by Laplacian eigenmaps: neighbours come to lie near each other.

    ``z = D^(-1/2) u``, u being the eigenvectors of the normalised Laplacian ``I - D^(-1/2) A
    D^(-1/2)`` with the smallest eigenvalues above zero, A the weights and D the degrees: as
    scikit-learn's ``SpectralEmbedding`` of a precomputed affinity. Eigenvectors of eigenvalue zero,
    one for each connected component, only tell components apart and are left out, so that many
    small components cost no dimensions.

    Parameters
    ----------
    graph
        A row per pair: columns ``entity1``, ``entity2`` and, if any, ``weight``, as
        :func:`pertscope.datasets.relationships` returns. The order within a pair does not matter;
        of a pair that comes twice the higher weight counts; pairs of an entity with itself do not.
    n_dims
        Dimensions, at most the nodes minus the connected components.
    min_weight
        Pairs of this weight or less are no edges.

    Returns
    -------
    float32 ``(entities, dimensions)``, for :func:`pertscope.pp.add_perturbation_embedding`.
    Entities without an edge get no row, nor do those of components so small that all dimensions are
    zero there; warnings name them.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If there is no edge, a name is missing, a weight is negative or not finite, or `n_dims` is
        too large.

    References
    ----------
    Belkin and Niyogi, Neural Computation 15 (2003); Cole et al., Foundation Models Improve
    Perturbation Response Prediction (2025), section 4.5.2.

    Examples
    --------
    >>> import pertscope as ps
    >>> ps.tl.embed_spectral(ps.datasets.relationships("sample"), 7).shape
    (10, 7)
    """
    network = read_graph(graph, min_weight=min_weight)
    n, n_components = len(network), network.n_components
    why = f"the graph has {n} nodes in {n_components} connected component(s)"
    check_n_dims(n_dims, n - n_components, why)
    vectors = slow_eigenpairs(network, n_dims)[1]
    return reached_table(network, vectors / np.sqrt(network.degree)[:, None])
