"""Local inverse Simpson index: how many labels a neighbourhood holds."""

from __future__ import annotations

import numpy as np

SCALES = ("median", "mean", "none")


def neighbor_weights(distances: np.ndarray, *, perplexity: float = 30) -> np.ndarray:
    """Weights of the neighbours of each cell, as t-SNE has them but for the square.

    ``p_ij = exp(-beta_i d_ij) / sum_j exp(-beta_i d_ij)`` with Euclidean distance d and beta_i by
    bisection from 1, at most 50 steps, until the entropy of p_i is within 1e-5 of
    ``log(perplexity)``.

    Parameters
    ----------
    distances
        Distances to the neighbours, without the cell itself, ascending, float64 ``(cells, k)``.
    perplexity
        Neighbours that count; at least 1 and at most k, usually k / 3.

    Returns
    -------
    float64 ``(cells, k)``; rows sum to 1.

    Raises
    ------
    ValueError
        If `perplexity` is not between 1 and k.
    """
    from pertscope.ev import _lisi_kernels as kernels

    distances = np.ascontiguousarray(distances, dtype=np.float64)
    if not 1 <= perplexity <= distances.shape[1]:
        raise ValueError(
            f"`perplexity`={perplexity} must be between 1 and the {distances.shape[1]} neighbours."
        )
    found = np.empty_like(distances)
    kernels.weights(distances, float(perplexity), found)
    return found


def lisi(weights: np.ndarray, indices: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Local inverse Simpson index ``1 / sum_c p_ic ** 2`` of each cell.

    p_ic is the weight of the neighbours of cell i that have label c: 1 where all neighbours have
    one label, the number of labels where all weigh the same. (Korsunsky et al., Nature Methods 16,
    2019.)

    Parameters
    ----------
    weights
        Weights of :func:`neighbor_weights`, ``(cells, k)``.
    indices
        Neighbours of each cell, int64 ``(cells, k)``.
    codes
        Label of each cell, int64 ``(cells,)``.

    Returns
    -------
    float64 ``(cells,)``.
    """
    from pertscope.ev import _lisi_kernels as kernels

    found = np.empty(len(weights))
    kernels.inverse_simpson(weights, np.ascontiguousarray(indices), codes, found)
    return found


def scaled_lisi(values: np.ndarray, n_labels: int, *, scale: str, mixed: bool) -> float:
    """One number from the indices of all cells.

    ``"median"``, as scib, and ``"mean"``: ``(m - 1) / (n_labels - 1)`` where mixing is wanted
    (`mixed`, iLISI), ``(n_labels - m) / (n_labels - 1)`` where it is not (cLISI); ``"none"``: the
    mean as it is, as harmonypy's users report it.
    """
    if scale == "none":
        return float(values.mean())
    m = float(np.median(values) if scale == "median" else values.mean())
    return (m - 1 if mixed else n_labels - m) / (n_labels - 1)
