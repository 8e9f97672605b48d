"""Principal components of the cells that a model trains on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pertscope._core.centred_matrix import CentredMatrix
from pertscope._core.matrix import is_backed
from pertscope._core.principal_components import principal_components
from pertscope.data.rows import Rows

MAX_CELLS = 20_000


class CellAxes(NamedTuple):
    """Axes along which cells vary.

    Attributes
    ----------
    center
        Mean of the cells, float64 ``(genes,)``.
    loadings
        Unit vectors, float64 ``(genes, components)``.
    scale
        Standard deviation along each, float64 ``(components,)``.
    farthest
        Largest distance of a cell from the mean along each, in standard deviations, float64
        ``(components,)``.
    """

    center: np.ndarray
    loadings: np.ndarray
    scale: np.ndarray
    farthest: np.ndarray


def cell_axes(x: Any, cells: np.ndarray, n_components: int, *, seed: int) -> CellAxes:
    """Principal components of some cells, `MAX_CELLS` of them at most.

    Parameters
    ----------
    x
        Cells x genes, in memory or on disk, cut along its rows.
    cells
        Rows of the cells, sorted.
    n_components
        Components at most: there are no more than the cells vary along.
    seed
        Seed of the draw of cells.
    """
    if len(cells) > MAX_CELLS:
        drawn = np.random.default_rng(seed).choice(cells, MAX_CELLS, replace=False)
        cells = np.sort(drawn)
    read = Rows(x, held=cells) if is_backed(x) else Rows(x[cells])
    mean = np.asarray(read.x.mean(axis=0, dtype=np.float64)).reshape(1, -1)
    n_cells, n_genes = read.x.shape
    matrix = CentredMatrix(read.x, np.ones(n_genes, bool), mean, np.zeros(n_cells, np.int64))
    found = principal_components(matrix, min(n_components, n_cells - 1, n_genes), seed=seed)
    scale = np.sqrt(found.variance)
    farthest = np.abs(matrix.times(found.loadings)).max(axis=0) / scale
    return CellAxes(mean[0], found.loadings, scale, farthest)
