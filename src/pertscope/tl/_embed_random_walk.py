"""Entities by where random walks from them lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.tl._embedding_table import check_n_dims
from pertscope.tl._graph import Graph, read_graph
from pertscope.tl._graph_spectrum import leading_eigenpairs, reached_table

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp

BLOCK_ROWS = 512
"""Rows of the matrix of walks that are dense at once, for each thread."""
ROUNDING = 1e-5
"""What is nearer to chance than this, in nats, is no nearer than chance."""


def embed_random_walk(
    graph: pd.DataFrame,
    n_dims: int = 128,
    *,
    window: int = 10,
    n_negative: float = 1.0,
    min_weight: float = 0.0,
) -> pd.DataFrame:
    """Embed a graph by random walks, in closed form: what DeepWalk and node2vec sample.

    A skip-gram model of infinitely many walks factorises ``M = log max(1, vol / (b T) (P + P^2 +
    ... + P^T) D^-1)``, with A the weights, D the degrees, vol their sum, ``P = D^-1 A`` a step of
    the walk, T the window and b the negative samples. ``z = U S^(1/2)``, U and S being the leading
    singular vectors and values of M. Nothing is drawn, so there is no seed.

    Time and memory grow with the square of the nodes, as M is not sparse.

    Parameters
    ----------
    graph
        A row per pair: columns ``entity1``, ``entity2`` and, if any, ``weight``, as
        :func:`pertscope.datasets.relationships` returns. The order within a pair does not matter;
        of a pair that comes twice the higher weight counts; pairs of an entity with itself do not.
    n_dims
        Dimensions, at most the nodes minus one.
    window
        Steps T within which entities count as near.
    n_negative
        Negative samples b per pair; more leave only what is much nearer than by chance.
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
        If there is no edge, a name is missing, a weight is negative or not finite, `n_dims`,
        `window` or `n_negative` is out of range, or no pair is nearer than by chance.

    References
    ----------
    Qiu et al., Network embedding as matrix factorization, WSDM (2018).

    Examples
    --------
    >>> import pertscope as ps
    >>> ps.tl.embed_random_walk(ps.datasets.relationships("sample"), 6).shape
    (10, 6)
    """
    network = read_graph(graph, min_weight=min_weight)
    check_n_dims(n_dims, len(network) - 1, f"the graph has {len(network)} nodes")
    if window < 1 or int(window) != window:
        raise ValueError(f"`window`={window} must be a whole number of steps, at least 1.")
    if not 0 < n_negative < np.inf:
        raise ValueError(f"`n_negative`={n_negative} must be above zero.")
    walks = log_walks(network, window, n_negative)
    if walks.nnz == 0:
        raise ValueError(
            f"no pair is nearer than chance: lower `n_negative`={n_negative} or `window`={window}."
        )
    values, vectors = leading_eigenpairs(walks, n_dims, by_size=True)
    return reached_table(network, vectors * np.sqrt(np.abs(values)))


def log_walks(graph: Graph, window: int, n_negative: float) -> sp.csr_array:
    """The matrix M of :func:`embed_random_walk`, CSR float32 ``(nodes, nodes)``.

    ``P^r D^-1 = D^(-1/2) N^r D^(-1/2)`` with N the normalised adjacency: M is symmetric, so its
    singular vectors are its eigenvectors.
    """
    import scipy.sparse as sp

    from pertscope._core.threads import in_threads

    normalized = graph.normalized.astype(np.float32)
    scale = (1 / np.sqrt(graph.degree)).astype(np.float32)
    factor = np.float32(graph.degree.sum() / (n_negative * window))

    def rows(block: slice) -> sp.csr_array:
        step = normalized[:, block].toarray()
        total = step.copy()
        for _ in range(window - 1):
            step = normalized @ step
            total += step
        total *= factor * scale[:, None] * scale[block]
        logs = np.log(np.maximum(total, 1)).T
        return sp.csr_array(np.where(logs > ROUNDING, logs, 0))

    starts = range(0, len(graph), BLOCK_ROWS)
    return sp.csr_array(sp.vstack(in_threads(rows, ((slice(a, a + BLOCK_ROWS),) for a in starts))))
