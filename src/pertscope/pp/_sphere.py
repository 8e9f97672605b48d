"""Whiten a representation by the controls of every batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.affine import EPSILON_ON, SPHERING, Affine, Controls, fit_sphere
from pertscope.pp._fit_on_controls import fit_on_controls

if TYPE_CHECKING:
    from anndata import AnnData


def sphere(
    adata: AnnData,
    use_rep: str | None = None,
    *,
    method: str = "ZCA",
    epsilon: float = 1e-6,
    epsilon_on: str = "singular_values",
    batch_key: str | None = None,
    by_batch: bool = True,
    missing: str = "error",
    fit_on: AnnData | None = None,
    key_added: str | None = None,
) -> None:
    """Rotate and scale so that the controls of each batch have covariance I.

    ``y = (x - mean) W`` with, from the SVD ``U S V'`` of the n centred controls of the batch,
    ``W = V (S + epsilon)^-1 sqrt(n - 1)`` for PCA and that times ``V'`` for ZCA, which stays as
    near to the original dimensions as it can. ``-cor`` first scales the dimensions to standard
    deviation 1. Directions in which the controls do not vary, as where they are fewer than the
    dimensions, are dropped by PCA; ZCA weighs them like the last one in which they do.

    With few controls for each dimension the controls that were fitted are whitened, and other cells
    just like them are not: these then pass for different. Reduce the dimensions first, or compare
    with controls that were not fitted (`fit_on`).

    Parameters
    ----------
    adata
        Registered screen.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    method
        ``"ZCA"``, ``"PCA"``, ``"ZCA-cor"`` or ``"PCA-cor"``.
    epsilon
        Keeps directions of little variance from being blown up.
    epsilon_on
        ``"singular_values"`` as above, or ``"eigenvalues"``: ``W = V (S^2 / (n - 1) +
        epsilon)^(-1/2)``, also where the controls do not vary (S is 0).
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
        Key to write to; by default ``f"{use_rep}_sphere"``, or ``"X_sphere"`` of
        the layer.

    Returns
    -------
    ``None``. Writes ``.obsm[key_added]``, float32 or float64 like `use_rep`:
    ``(cells, d)``, or ``(cells, rank of the controls)`` for PCA.

    Raises
    ------
    KeyError
        If the screen is not registered, or a column or the representation does not exist.
    ValueError
        If values are NaN or infinite, the controls of a batch are fewer than two or all the same,
        PCA is asked of several batches one by one, whose axes would not match, or an option is
        unknown.

    References
    ----------
    Kessy et al., Optimal whitening and decorrelation, The American Statistician 72 (2018). Serrano
    et al., Pycytominer, Nature Methods 22 (2025), from version 1.7.1 on.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> adata.obsm["X_few"] = adata.X[:, :5].toarray()
    >>> ps.pp.sphere(adata, "X_few")
    >>> adata.obsm["X_few_sphere"].shape == adata.obsm["X_few"].shape
    True
    """
    if method not in SPHERING:
        raise ValueError(f"`method`={method!r} must be one of {list(SPHERING)}.")
    if epsilon_on not in EPSILON_ON:
        raise ValueError(f"`epsilon_on`={epsilon_on!r} must be one of {list(EPSILON_ON)}.")
    if not epsilon >= 0:
        raise ValueError(f"`epsilon`={epsilon} must not be negative.")

    def fit(controls: Controls) -> list[Affine]:
        if method.startswith("PCA") and len(controls.names) > 1:
            raise ValueError(
                f"the axes of `method`={method!r} would differ from batch to batch: pass "
                '`by_batch=False`, or a method that keeps the dimensions, such as "ZCA".'
            )
        return controls.each(lambda x: fit_sphere(x, method, epsilon, epsilon_on))

    fit_on_controls(
        adata,
        use_rep,
        fit,
        name="sphere",
        min_controls=2,
        batch_key=batch_key,
        by_batch=by_batch,
        missing=missing,
        fit_on=fit_on,
        key_added=key_added,
    )
