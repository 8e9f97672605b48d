"""Principal components of the cells of a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.keys import HIGHLY_VARIABLE
from pertscope._core.matrix import looks_like_counts
from pertscope._core.principal_components import METHODS
from pertscope._core.screen import require_actual, require_anndata
from pertscope.tl._pca_axes import (
    Cells,
    Keys,
    counting_genes,
    fit_axes,
    n_components,
    reference_axes,
)

if TYPE_CHECKING:
    from anndata import AnnData


def pca(
    adata: AnnData,
    n_comps: int | None = None,
    *,
    layer: str | None = None,
    mask_var: str | None = None,
    by_batch: bool = False,
    batch_key: str | None = None,
    method: str = "auto",
    seed: int = 0,
    reference: AnnData | None = None,
    key_added: str | None = None,
) -> None:
    """Embed cells in the axes along which they vary most.

    With ``c = x - mean``, the loadings V are the leading eigenvectors of ``c' c / (cells - 1)`` and
    the embedding is ``c V``, as ``scanpy.pp.pca`` defines both; the largest loading of a component
    is positive. Cells are read in blocks, in memory or from disk, and sparse ones stay sparse.

    Parameters
    ----------
    adata
        Screen, or any AnnData: the matrix may be dense, CSR or CSC, in memory, backed or dask.
    n_comps
        Components; by default 50, or as many as the cells vary along. Of a `reference`, the first
        so many; by default all.
    layer
        Layer to embed, log-normalised values or counts (Bendidi et al. embed counts, ``"counts"``
        after :func:`pertscope.pp.normalize`); by default the registered one, or ``.X``.
    mask_var
        Column of ``.var``, bool, with the genes that count, such as ``"highly_variable"``; by
        default all of them do.
    by_batch
        Subtract from each cell the mean of its batch in place of that of all cells, so that no axis
        is spent on differences between batches. Perturbations should be spread over the batches:
        what is particular to a batch is lost.
    batch_key
        Column of ``.obs`` with the batches; by default the registered one.
    method
        ``"exact"`` decomposes the covariance of the genes, in three passes over the cells.
        ``"randomized"`` needs no genes x genes matrix: it multiplies random directions with the
        cells until the components no longer change, some ten to thirty passes. ``"auto"`` is exact
        up to 1,000 genes, unless they lie on disk as CSC.
    seed
        Seed of the random directions; any number of threads gives the same bytes.
    reference
        Another AnnData that was embedded under the same `key_added`: its loadings, and unless
        `by_batch` its mean, are applied to `adata`, genes matched by name. Nothing is fitted, and
        `method` and `seed` do not matter.
    key_added
        Key of all three entries below in place of ``X_pca``, ``PCs`` and ``pca``, as in scanpy.

    Returns
    -------
    ``None``. Writes ``.obsm["X_pca"]``, float32 ``(cells, n_comps)``; ``.varm["PCs"]``, the
    loadings, float64 ``(genes, n_comps)``, 0 for genes that do not count; ``.var["pca_mean"]``, the
    mean over all cells, float64 ``(genes,)``; and ``.uns["pca"]`` with ``variance`` and
    ``variance_ratio`` (of these cells and the genes that count), float64 ``(n_comps,)``, and
    ``params``, what was done.

    Raises
    ------
    KeyError
        If a layer or a column does not exist, or the `reference` was not embedded.
    ValueError
        If values are NaN or infinite, all cells are the same, they vary along fewer axes than
        `n_comps`, a batch has one cell, `method` is ``"exact"`` for CSC on disk, or `reference` and
        `adata` do not fit together.

    Warns
    -----
    UserWarning
        If genes of the `reference` are missing: each cell counts as being at their mean. If it was
        fitted on counts and `adata` holds none, or the other way round. If components have not
        settled after 100 passes.

    References
    ----------
    Bendidi et al., Benchmarking transcriptomics foundation models for perturbation analysis: one
    PCA still rules them all (2024). Halko et al., An algorithm for the principal component analysis
    of large data sets, SIAM Journal on Scientific Computing 33 (2011). Centring by batch: Celik et
    al., Building, benchmarking, and exploring perturbative maps (2024).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> ps.tl.pca(adata, 10)
    >>> adata.obsm["X_pca"].shape
    (2100, 10)
    >>> ps.tl.pca(adata, 10, layer="counts", by_batch=True, key_added="X_pca_counts")
    >>> adata.uns["X_pca_counts"]["params"]["method"]
    'exact'
    """
    require_anndata(adata)
    keys = Keys.of(key_added)
    if method not in METHODS:
        raise ValueError(f"`method`={method!r} must be one of {list(METHODS)}.")
    if n_comps is not None and n_comps < 1:
        raise ValueError(f"`n_comps`={n_comps} must be positive.")
    if reference is not None and mask_var is not None:
        raise ValueError("`mask_var` is for a fit: the genes of a `reference` are its own.")
    cells = Cells.of(adata, layer, batch_key, by_batch=by_batch)
    if reference is None:
        genes = counting_genes(adata, mask_var)
        n_components(n_comps, cells, int(genes.sum()))
        found = cells.moments(adata)
        axes, variance = fit_axes(cells, genes, found, n_comps, method, seed)
    else:
        axes = reference_axes(reference, keys, adata, cells, n_comps)
        found = cells.moments(adata)
    center = found.mean if by_batch or reference is None else axes.mean[None]
    scores = cells.centred(axes.genes, center).times(axes.loadings[axes.genes])
    if not np.isfinite(scores).all():
        raise ValueError("values are too large: the embedding passes what float32 holds.")
    n_less_one = max(adata.n_obs - 1, 1)
    if reference is not None:
        variance = scores.var(axis=0, dtype=np.float64) * (adata.n_obs / n_less_one)
    total = found.m2[:, axes.genes].sum() / n_less_one
    params = {
        "zero_center": True,  # this and the next are what scanpy's ingest reads
        "use_highly_variable": mask_var == HIGHLY_VARIABLE,
        "mask_var": mask_var,
        "layer": cells.layer,
        "batch_key": cells.batch_key,
        "by_batch": by_batch,
        "counts": looks_like_counts(cells.x),
        **axes.params,
    }
    require_actual(adata)
    adata.obsm[keys.obsm] = scores
    adata.varm[keys.varm] = axes.loadings
    adata.var[keys.mean] = axes.mean
    adata.uns[keys.uns] = {
        "params": {name: value for name, value in params.items() if value is not None},
        "variance": variance,
        "variance_ratio": variance / total if total > 0 else np.full(len(variance), np.nan),
    }
