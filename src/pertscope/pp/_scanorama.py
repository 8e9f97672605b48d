"""Correction of batches by mutual neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.pp._correct_batches import correct_batches

if TYPE_CHECKING:
    from anndata import AnnData


def scanorama(
    adata: AnnData,
    use_rep: str | None = None,
    *,
    n_neighbors: int = 20,
    sigma: float = 15.0,
    approximate: bool = False,
    batch_key: str | None = None,
    key_added: str | None = None,
) -> None:
    """Join batches along their mutual nearest neighbours by Scanorama.

    Batches are moved onto each other, the most alike first, by smoothed differences of their mutual
    nearest neighbours; by the package scanorama (``pip install scanorama``).

    All cells are corrected together, whatever their perturbation; new cells need a new correction
    of all.

    Parameters
    ----------
    adata
        Registered screen.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    n_neighbors
        Neighbours of a cell in another batch.
    sigma
        Width of the smoothing.
    approximate
        Search the neighbours by annoy, faster on many cells; the result then depends on the number
        of cores.
    batch_key
        Column of ``.obs`` with the batches; by default the registered one.
    key_added
        Key to write to; by default ``f"{use_rep}_scanorama"``, or ``"X_scanorama"`` of the layer.

    Returns
    -------
    ``None``. Writes ``.obsm[key_added]``, the shape and type of `use_rep`, float32 or float64.

    Raises
    ------
    ImportError
        If scanorama is not installed.
    KeyError
        If the screen is not registered, or a column or the representation does not exist.
    ValueError
        If values are NaN or infinite, or there is one batch.

    References
    ----------
    Hie et al., Nature Biotechnology 37 (2019).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> adata.obsm["X_few"] = adata.X[:, :5].toarray()
    >>> ps.pp.scanorama(adata, "X_few")
    >>> adata.obsm["X_few_scanorama"].shape == adata.obsm["X_few"].shape
    True
    """
    try:
        import scanorama as peer
    except ImportError as error:
        raise ImportError("`scanorama` needs scanorama: `pip install scanorama`.") from error
    if n_neighbors < 1 or not sigma > 0:
        raise ValueError(f"`n_neighbors`={n_neighbors} and `sigma`={sigma} must be positive.")

    def correct(x: np.ndarray, codes: np.ndarray) -> np.ndarray:
        rows = [np.flatnonzero(codes == c) for c in range(codes.max() + 1)]
        joined = peer.assemble(
            [x[r] for r in rows],
            knn=min(n_neighbors, *map(len, rows)),
            sigma=sigma,
            approx=approximate,
            verbose=False,
        )
        result = np.empty_like(x)
        for r, part in zip(rows, joined, strict=True):
            result[r] = part
        return result

    correct_batches(
        adata,
        use_rep,
        correct,
        name="scanorama",
        min_cells=1,
        batch_key=batch_key,
        key_added=key_added,
    )
