"""Genes by the mean of what a model makes of them in each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core.representation import sums_by_group
from pertscope.tl._embedding_table import embedding_table, tell_left_out

if TYPE_CHECKING:
    from collections.abc import Iterable


def aggregate_gene_embeddings(
    batches: Iterable[tuple[Any, Any]], *, min_cells: int = 1
) -> pd.DataFrame:
    """Average the vectors that a foundation model gives each gene in each control cell.

    ``z(g) = 1/|Q_g| sum_{i in Q_g} z_i(g)``, Q_g being the cells that the model encoded with gene
    g: all of them where its genes are fixed (as scGPT's), or those in whose top ranks it is (as
    Geneformer's). Batches are added up as they come, so none need be kept.

    Parameters
    ----------
    batches
        Pairs ``(genes, vectors)``, as a generator over batches of control cells, say. Vectors are
        ``(cells, length, dimensions)``; genes are names ``(length,)``, the same for all cells of
        the batch, or ``(cells, length)``, where an empty name marks padding. Arrays, lists or
        tensors on the CPU.
    min_cells
        Genes that fewer cells hold get no row.

    Returns
    -------
    float32 ``(genes, dimensions)``, genes sorted, for
    :func:`pertscope.pp.add_perturbation_embedding`. A warning names genes that get no row.

    Raises
    ------
    ValueError
        If shapes do not fit, a cell holds a gene twice, values are not finite, or no gene is left.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), equations 10
    and 11.

    Examples
    --------
    >>> import numpy as np
    >>> import pertscope as ps
    >>> first = (["MYC", "TP53"], np.zeros((3, 2, 4)))
    >>> second = ([["MYC", ""]], np.ones((1, 2, 4)))
    >>> ps.tl.aggregate_gene_embeddings([first, second])[["0"]]
             0
    MYC   0.25
    TP53  0.00
    """
    place: dict[str, int] = {}
    total, n_cells = np.zeros((0, 0)), np.zeros(0, np.int64)
    for number, (names, values) in enumerate(batches):
        vectors = np.asarray(values)
        genes = _genes_of_cells(np.asarray(names, dtype=str), vectors, number)
        codes, found = pd.factorize(genes.ravel())
        rows = np.array([place.setdefault(g, len(place)) if g else -1 for g in found], np.int64)
        if number == 0:
            total = np.zeros((0, vectors.shape[2]))
        elif vectors.shape[2] != total.shape[1]:
            raise ValueError(
                f"batch {number} has vectors of {vectors.shape[2]} dimensions, those before have "
                f"{total.shape[1]}."
            )
        n_new = len(place) - len(total)
        total, n_cells = np.pad(total, ((0, n_new), (0, 0))), np.pad(n_cells, (0, n_new))
        codes = rows[codes] if len(rows) else codes
        total += sums_by_group(vectors.reshape(-1, vectors.shape[2]), codes, len(place))
        n_cells += np.bincount(codes[codes >= 0], minlength=len(place))
    kept = n_cells >= min_cells
    names = np.array(list(place), dtype=object)
    if not kept.any():
        raise ValueError(f"of {len(names)} gene(s), none is held by {min_cells} cell(s) or more.")
    tell_left_out(np.sort(names[~kept]), f"fewer than {min_cells} cells hold them")
    means = pd.DataFrame(total[kept] / n_cells[kept, None], index=names[kept]).sort_index()
    return embedding_table(means.index, means.to_numpy())


def _genes_of_cells(names: np.ndarray, vectors: np.ndarray, number: int) -> np.ndarray:
    """Gene of each vector of each cell, ``(cells, length)``; raises where shapes do not fit."""
    if vectors.ndim != 3:
        raise ValueError(
            f"batch {number}: vectors must be (cells, length, dimensions), they are "
            f"{vectors.shape}."
        )
    cells_and_length = vectors.shape[:2]
    if names.shape not in (cells_and_length, cells_and_length[1:]):
        raise ValueError(
            f"batch {number}: genes are {names.shape}, for vectors {vectors.shape} they must be "
            f"{cells_and_length[1:]} or {cells_and_length}."
        )
    if not np.isfinite(vectors).all():
        raise ValueError(f"batch {number} holds NaN or infinite values.")
    ordered = np.sort(np.atleast_2d(names), axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != "")
    if twice.any():
        raise ValueError(f"batch {number}: a cell holds {str(ordered[:, 1:][twice][0])!r} twice.")
    return np.broadcast_to(names, cells_and_length)
