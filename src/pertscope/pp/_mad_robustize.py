"""Centre and scale by the median and MAD of the controls of every batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.affine import fit_mad
from pertscope.pp._fit_on_controls import fit_on_controls

if TYPE_CHECKING:
    from anndata import AnnData


def mad_robustize(
    adata: AnnData,
    use_rep: str | None = None,
    *,
    epsilon: float = 1e-18,
    batch_key: str | None = None,
    by_batch: bool = True,
    missing: str = "error",
    fit_on: AnnData | None = None,
    key_added: str | None = None,
) -> None:
    """Subtract the median of the batch's controls and divide by their MAD.

    ``y = (x - median) / (1.4826 MAD + epsilon)`` over the controls of the batch, where MAD is the
    median absolute deviation from the median.

    Parameters
    ----------
    adata
        Registered screen.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    epsilon
        Added to each divisor. A dimension in which half of the controls are equal has MAD 0, and
        what differs from them gets very large: give a larger one, or leave such dimensions out.
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
        Key to write to; by default ``f"{use_rep}_mad_robustize"``, or ``"X_mad_robustize"`` of
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

    References
    ----------
    Serrano et al., Reproducible image-based profiling with Pycytominer, Nature Methods 22 (2025).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> adata.obsm["X_few"] = adata.X[:, :5].toarray()
    >>> ps.pp.mad_robustize(adata, "X_few")
    >>> adata.obsm["X_few_mad_robustize"].shape == adata.obsm["X_few"].shape
    True
    """
    if not epsilon >= 0:
        raise ValueError(f"`epsilon`={epsilon} must not be negative.")
    fit_on_controls(
        adata,
        use_rep,
        lambda controls: controls.each(lambda x: fit_mad(x, epsilon)),
        name="mad_robustize",
        min_controls=2,
        batch_key=batch_key,
        by_batch=by_batch,
        missing=missing,
        fit_on=fit_on,
        key_added=key_added,
    )
