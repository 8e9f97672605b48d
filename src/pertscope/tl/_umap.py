"""A map of a representation in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core import keys
from pertscope._core.neighbors import nearest
from pertscope._core.representation import representation_of
from pertscope._core.screen import require_actual

if TYPE_CHECKING:
    from anndata import AnnData


def umap(
    adata: AnnData,
    use_rep: str = "X_pca",
    *,
    n_neighbors: int = 15,
    min_dist: float = 0.5,
    seed: int = 0,
    key_added: str | None = None,
) -> None:
    """Lay cells out in two dimensions: scanpy's UMAP of the nearest neighbours.

    As :func:`scanpy.pp.neighbors` and :func:`scanpy.tl.umap`, without a graph that one
    representation overwrites for the next; the neighbours are those of
    :func:`pertscope.ev.integration`. Distances in the map are no measure of effects.

    Parameters
    ----------
    adata
        Cells; they need not be registered.
    use_rep
        Key of ``.obsm``.
    n_neighbors
        Neighbours of each cell, itself included as in scanpy.
    min_dist
        How near each other cells may lie.
    seed
        Seed of the layout.
    key_added
        Key to write to; by default ``f"{use_rep}_umap"``.

    Returns
    -------
    ``None``. Writes ``.obsm[key_added]``, float32 ``(cells, 2)``, which :func:`pertscope.pl.umap`
    and ``scanpy.pl.embedding(adata, key_added)`` draw.

    Raises
    ------
    KeyError
        If there is no such representation.
    ValueError
        If values are NaN or infinite, or `n_neighbors` is less than two or more than there are
        cells.

    References
    ----------
    McInnes et al., arXiv:1802.03426 (2018).

    Examples
    --------
    >>> import pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata)
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=5)
    >>> ps.tl.umap(adata, "X_pca")
    >>> adata.obsm["X_pca_umap"].shape[1]
    2
    """
    import scanpy as sc
    from anndata import AnnData

    key_added = keys.check_key(f"{use_rep}_umap" if key_added is None else key_added)
    x = representation_of(adata, use_rep)
    if not 2 <= n_neighbors <= len(x):
        raise ValueError(
            f"`n_neighbors`={n_neighbors} must be at least 2 and at most the {len(x)} cells: a "
            "cell counts as its own neighbour, as in scanpy."
        )
    scratch = AnnData(obsm={use_rep: x})
    graph: Any = _Neighbors(n_neighbors, seed)
    sc.pp.neighbors(scratch, use_rep=use_rep, transformer=graph)
    sc.tl.umap(scratch, min_dist=min_dist, random_state=seed)
    require_actual(adata)
    adata.obsm[key_added] = np.asarray(scratch.obsm["X_umap"], np.float32)


class _Neighbors:
    """Our search of neighbours, as scanpy asks for one."""

    def __init__(self, n_neighbors: int, seed: int) -> None:
        self.n_neighbors = n_neighbors
        self.seed = seed

    def get_params(self) -> dict[str, Any]:
        return {"n_neighbors": self.n_neighbors, "metric": "euclidean", "random_state": self.seed}

    def fit_transform(self, x: np.ndarray) -> sp.csr_matrix:
        """Distances to the neighbours, the cell itself first; CSR ``(cells, cells)``."""
        found = nearest(x, self.n_neighbors - 1, seed=self.seed)
        n = len(x)
        indices = np.column_stack([np.arange(n), found.indices])
        distances = np.column_stack([np.zeros(n), found.distances])
        starts = np.arange(n + 1) * self.n_neighbors
        return sp.csr_matrix((distances.ravel(), indices.ravel(), starts), shape=(n, n))
