"""Empirical Bayes correction of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope.pp._correct_batches import correct_batches

if TYPE_CHECKING:
    from anndata import AnnData


def combat(
    adata: AnnData,
    use_rep: str | None = None,
    *,
    batch_key: str | None = None,
    key_added: str | None = None,
) -> None:
    """Remove shifts and scales of batches by ComBat.

    A linear model with one mean and variance per batch and dimension, shrunken towards the batch's
    means over dimensions; by scanpy.

    All cells are corrected together, whatever their perturbation; new cells need a new correction
    of all. A dimension that is the same in all cells stays as it is.

    Parameters
    ----------
    adata
        Registered screen.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    batch_key
        Column of ``.obs`` with the batches; by default the registered one.
    key_added
        Key to write to; by default ``f"{use_rep}_combat"``, or ``"X_combat"`` of the layer.

    Returns
    -------
    ``None``. Writes ``.obsm[key_added]``, the shape and type of `use_rep`, float32 or float64.

    Raises
    ------
    KeyError
        If the screen is not registered, or a column or the representation does not exist.
    ValueError
        If values are NaN or infinite, there is one batch or dimension, or a batch has fewer than
        two cells.

    References
    ----------
    Johnson et al., Biostatistics 8 (2007).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> adata.obsm["X_few"] = adata.X[:, :5].toarray()
    >>> ps.pp.combat(adata, "X_few")
    >>> adata.obsm["X_few_combat"].shape == adata.obsm["X_few"].shape
    True
    """

    def correct(x: np.ndarray, codes: np.ndarray) -> np.ndarray:
        import scanpy as sc
        from anndata import AnnData

        obs = pd.DataFrame({"batch": pd.Categorical(codes)}, index=np.arange(len(x)).astype(str))
        result = x.copy()
        varies = x.max(axis=0) > x.min(axis=0)
        if varies.any():
            # where a batch does not vary, scanpy's first step is relative to 0; later ones are not
            with np.errstate(divide="ignore", invalid="ignore"):
                cells = AnnData(x[:, varies], obs=obs)
                result[:, varies] = sc.pp.combat(cells, key="batch", inplace=False)
        return result

    correct_batches(
        adata,
        use_rep,
        correct,
        name="combat",
        min_cells=2,
        batch_key=batch_key,
        key_added=key_added,
    )
