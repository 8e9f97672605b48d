"""Eigenvectors of graphs, always the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope.tl._embedding_table import embedding_table, tell_left_out

if TYPE_CHECKING:
    import pandas as pd

    from pertscope.tl._graph import Graph

EXACT_SIZE = 1000
"""Up to this size, and where most eigenvectors are wanted, a matrix is decomposed as a whole."""

ZERO = 1e-6
"""What is smaller, relative to the largest value of an embedding, is rounding."""


def leading_eigenpairs(
    matrix: Any, n: int, *, by_size: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Leading eigenvalues and their eigenvectors, the leading one first.

    Parameters
    ----------
    matrix
        Symmetric: dense, sparse or a SciPy ``LinearOperator`` ``(size, size)``.
    n
        How many.
    by_size
        The largest in absolute value lead; otherwise the largest.

    Returns
    -------
    Values float64 ``(n,)`` and vectors float64 ``(size, n)``, of norm 1, the largest entry of each
    positive.
    """
    from scipy.sparse.linalg import eigsh
    from threadpoolctl import threadpool_limits

    size = matrix.shape[0]
    with threadpool_limits(1):  # several threads differ in their last digits
        if size <= EXACT_SIZE or n > size // 2:
            values, vectors = np.linalg.eigh(matrix @ np.eye(size))
        else:
            start = np.random.default_rng(0).standard_normal(size)
            values, vectors = eigsh(matrix, n, which="LM" if by_size else "LA", v0=start)
    order = np.argsort(-np.abs(values) if by_size else -values, kind="stable")[:n]
    values, vectors = values[order], vectors[:, order]
    largest = np.abs(vectors).argmax(axis=0)
    return values, vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])


def slow_eigenpairs(graph: Graph, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues of ``N = D^(-1/2) A D^(-1/2)`` but for the 1 of each component.

    They belong to the smallest eigenvalues of the normalised Laplacian ``I - N`` above zero.

    Returns
    -------
    Values float64 ``(n,)``, and vectors float64 ``(nodes, n)``.
    """
    from scipy.sparse.linalg import LinearOperator

    size = len(graph)
    volume = np.bincount(graph.component, weights=graph.degree)
    known = np.sqrt(graph.degree / volume[graph.component])
    constant = sp.csr_array((known, (np.arange(size), graph.component)))

    def times(x: np.ndarray) -> np.ndarray:
        # the eigenvalue 1 of each component becomes -2, below all others
        return np.asarray(graph.normalized @ x - 3 * (constant @ (constant.T @ x)))

    operator = LinearOperator((size, size), matvec=times, matmat=times, dtype=np.float64)
    return leading_eigenpairs(operator, n)


def reached_table(graph: Graph, vectors: np.ndarray) -> pd.DataFrame:
    """Table of the nodes but for those in components where all vectors are zero, which it names."""
    size = np.zeros(graph.n_components)
    np.maximum.at(size, graph.component, np.abs(vectors).max(axis=1))
    reached = (size > ZERO * size.max())[graph.component]
    tell_left_out(
        graph.names[~reached], f"{vectors.shape[1]} dimensions do not reach their part of the graph"
    )
    return embedding_table(graph.names[reached], vectors[reached])
