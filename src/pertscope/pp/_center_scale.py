"""Give the controls of every batch mean 0 and standard deviation 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.affine import fit_center_scale
from pertscope.pp._fit_on_controls import fit_on_controls

if TYPE_CHECKING:
    from anndata import AnnData


def center_scale(
    adata: AnnData,
    use_rep: str | None = None,
    *,
    batch_key: str | None = None,
    by_batch: bool = True,
    missing: str = "error",
    fit_on: AnnData | None = None,
    key_added: str | None = None,
) -> None:
    """Subtract the mean of the batch's controls and divide by their standard deviation.

    ``y = (x - mean) / s.d.`` over the controls of the batch (ddof 0). A dimension in which they are
    all equal is divided by 1.

    Parameters
    ----------
    adata
        Registered screen.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    batch_key
        Column of ``.obs`` with the batches; by default the registered one. Without either, all
        cells are one batch.
    by_batch
        ``False`` fits once, on the controls of all batches.
    missing
        What becomes of a batch with fewer than two controls: an ``"error"``, or
        ``"global"``, a fit on the controls of all batches.
    fit_on
        Another registered screen with the same representation, whose controls are fitted in place
        of those of `adata`: to put new cells where others were put before.
    key_added
        Key to write to; by default ``f"{use_rep}_center_scale"``, or ``"X_center_scale"`` of
        the layer.

    Returns
    -------
    ``None``. Writes ``.obsm[key_added]``, the shape and type of `use_rep`, float32 or float64.

    Raises
    ------
    KeyError
        If the screen is not registered, or a column or the representation does not exist.
    ValueError
        If values are NaN or infinite, or a batch has fewer than two controls.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> adata.obsm["X_few"] = adata.X[:, :5].toarray()
    >>> ps.pp.center_scale(adata, "X_few")
    >>> controls = adata.obsm["X_few_center_scale"][adata.obs["perturbation"] == "control"]
    >>> bool(abs(controls.std(axis=0) - 1).max() < 1e-3)
    True
    """
    fit_on_controls(
        adata,
        use_rep,
        lambda controls: controls.each(fit_center_scale),
        name="center_scale",
        min_controls=2,
        batch_key=batch_key,
        by_batch=by_batch,
        missing=missing,
        fit_on=fit_on,
        key_added=key_added,
    )
