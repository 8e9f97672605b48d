"""Typical variation normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.affine import Affine, Controls, fit_tvn, fit_tvn_zca
from pertscope.pp._fit_on_controls import fit_on_controls

if TYPE_CHECKING:
    from anndata import AnnData

FORMS = ("efaar", "zca")


def tvn(
    adata: AnnData,
    use_rep: str | None = None,
    *,
    form: str = "efaar",
    batch_key: str | None = None,
    by_batch: bool = True,
    missing: str = "error",
    fit_on: AnnData | None = None,
    key_added: str | None = None,
) -> None:
    """Whiten the variation of the controls, and align its covariance between batches.

    EFAAR's form: z-score on all controls, rotate to all their principal axes, z-score on them
    again; then, where there are several batches, ``y = x (cov(controls of the batch) + 0.5
    I)^(-1/2)``. The form ``"zca"``: z-score on the controls of the batch, then ``y = x W D^(-1/2)
    W'`` with the eigenvectors W and eigenvalues D of the covariance of all controls. Directions in
    which no control varies are dropped.

    With few controls for each dimension the controls that were fitted are whitened, and other cells
    just like them are not: these then pass for different. Reduce the dimensions first, or compare
    with controls that were not fitted (`fit_on`).

    Parameters
    ----------
    adata
        Registered screen.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    form
        ``"efaar"`` or ``"zca"``.
    batch_key
        Column of ``.obs`` with the batches; by default the registered one. Without either, all
        cells are one batch.
    by_batch
        ``False`` fits once, on the controls of all batches, and aligns none.
    missing
        What becomes of a batch with fewer than two controls: an ``"error"``, or
        ``"global"``, a fit on the controls of all batches.
    fit_on
        Another registered screen with the same representation, whose controls are fitted in place
        of those of `adata`: to put new cells where others were put before.
    key_added
        Key to write to; by default ``f"{use_rep}_tvn"``, or ``"X_tvn"`` of
        the layer.

    Returns
    -------
    ``None``. Writes ``.obsm[key_added]``, float32 or float64 like `use_rep`:
    ``(cells, rank of the controls)``, or ``(cells, d)`` for ``"zca"``.

    Raises
    ------
    KeyError
        If the screen is not registered, or a column or the representation does not exist.
    ValueError
        If values are NaN or infinite, a batch has fewer than two controls, all controls are the
        same, or `form` is unknown.

    References
    ----------
    Ando et al., Improving phenotypic measurements in high-content imaging screens, bioRxiv (2017).
    Celik et al., Building, benchmarking, and exploring perturbative maps of transcriptional and
    morphological data, PLOS Computational Biology 20 (2024), and its software EFAAR.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> adata.obsm["X_few"] = adata.X[:, :5].toarray()
    >>> ps.pp.tvn(adata, "X_few")
    >>> adata.obsm["X_few_tvn"].shape == adata.obsm["X_few"].shape
    True
    """
    if form not in FORMS:
        raise ValueError(f"`form`={form!r} must be one of {list(FORMS)}.")

    def fit(controls: Controls) -> list[Affine]:
        if form == "zca":
            return fit_tvn_zca(controls)
        return fit_tvn(controls, align=len(controls.names) > 1)

    fit_on_controls(
        adata,
        use_rep,
        fit,
        name="tvn",
        min_controls=2,
        batch_key=batch_key,
        by_batch=by_batch,
        missing=missing,
        fit_on=fit_on,
        key_added=key_added,
    )
