"""Iterative correction of batches within clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.pp._correct_batches import correct_batches

if TYPE_CHECKING:
    from anndata import AnnData


def harmony(
    adata: AnnData,
    use_rep: str | None = None,
    *,
    theta: float = 2.0,
    seed: int = 0,
    batch_key: str | None = None,
    key_added: str | None = None,
) -> None:
    """Mix batches by Harmony.

    Cells are assigned softly to clusters that hold all batches, and moved by each cluster's linear
    batch effect, until nothing changes; by harmonypy (GPL, installed by itself: ``pip install
    harmonypy``).

    All cells are corrected together, whatever their perturbation; new cells need a new correction
    of all.

    Parameters
    ----------
    adata
        Registered screen.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    theta
        Strength of the mixing; 0 is none.
    seed
        Seed of the clusters.
    batch_key
        Column of ``.obs`` with the batches; by default the registered one.
    key_added
        Key to write to; by default ``f"{use_rep}_harmony"``, or ``"X_harmony"`` of the layer.

    Returns
    -------
    ``None``. Writes ``.obsm[key_added]``, the shape and type of `use_rep`, float32 or float64.

    Raises
    ------
    ImportError
        If harmonypy is not installed.
    KeyError
        If the screen is not registered, or a column or the representation does not exist.
    ValueError
        If values are NaN or infinite, or there is one batch.

    References
    ----------
    Korsunsky et al., Nature Methods 16 (2019).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> adata.obsm["X_few"] = adata.X[:, :5].toarray()
    >>> ps.pp.harmony(adata, "X_few")
    >>> adata.obsm["X_few_harmony"].shape == adata.obsm["X_few"].shape
    True
    """
    try:
        import harmonypy
    except ImportError as error:
        raise ImportError("`harmony` needs harmonypy: `pip install harmonypy`.") from error
    if not theta >= 0:
        raise ValueError(f"`theta`={theta} must not be negative.")

    def correct(x: np.ndarray, codes: np.ndarray) -> np.ndarray:
        fitted = harmonypy.run_harmony(
            x,
            {"batch": codes},
            "batch",
            theta=theta,
            nclust=int(np.clip(round(len(x) / 30), 2, 100)),  # harmonypy's, but 0 of few cells
            verbose=False,
            random_state=seed,
        )
        return np.asarray(fitted.Z_corr)

    correct_batches(
        adata,
        use_rep,
        correct,
        name="harmony",
        min_cells=1,
        batch_key=batch_key,
        key_added=key_added,
    )
