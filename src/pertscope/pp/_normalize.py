"""From counts to log1p of counts per ten thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.keys import COUNTS_LAYER, LOG1P, check_key
from pertscope._core.matrix import is_backed, matrix_of, stored_sample
from pertscope._core.screen import Screen, require_actual

if TYPE_CHECKING:
    from anndata import AnnData


def normalize(
    adata: AnnData, *, target_sum: float = 1e4, counts_layer: str | None = COUNTS_LAYER
) -> None:
    """Normalise counts to a common library size and take logarithms, in place.

    ``x <- log(1 + target_sum * x / sum of the cell's counts)``, by scanpy. Run it before genes are
    selected, so that a library is a whole library.

    Parameters
    ----------
    adata
        Registered screen whose registered layer (or ``.X``) holds counts, in memory.
    target_sum
        Counts per cell after normalisation.
    counts_layer
        Layer that keeps the counts; ``None`` keeps none.

    Returns
    -------
    ``None``. Overwrites the registered layer (or ``.X``) with float32 values of the same shape, and
    writes the counts to ``.layers[counts_layer]`` and ``.uns["log1p"]``.

    Raises
    ------
    ValueError
        If the values are no counts: negative, fractional, or normalised before.

    References
    ----------
    Wu et al., PerturBench (2024), appendix D.3.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> list(adata.layers)
    ['counts']
    """
    layer = Screen.of(adata).layer
    x = matrix_of(adata, layer)
    where = "`.X`" if layer is None else f"layer {layer!r}"
    if adata.isbacked or (is_backed(x) and not hasattr(x, "compute")):
        raise ValueError(f"{where} lies on disk: read it into memory or as dask array first.")
    if not target_sum > 0:
        raise ValueError(f"`target_sum`={target_sum} must be positive.")
    if counts_layer is not None and check_key(counts_layer, "counts_layer") == layer:
        raise ValueError(f"`counts_layer` is the registered layer {layer!r} itself.")
    _require_counts(x, where)
    require_actual(adata)
    import scanpy as sc
    from anndata import AnnData

    x = matrix_of(adata, layer)
    if isinstance(x, sp.sparray):  # scanpy takes sparse matrices only
        x = sp.csc_matrix(x) if x.format == "csc" else sp.csr_matrix(x)
    scaled = AnnData(x.astype(np.float32), obs=adata.obs[[]], var=adata.var[[]])
    sc.pp.normalize_total(scaled, target_sum=target_sum)
    sc.pp.log1p(scaled)
    if counts_layer is not None:
        adata.layers[counts_layer] = x.copy()
    if layer is None:
        adata.X = scaled.X
    else:
        adata.layers[layer] = scaled.X
    adata.uns[LOG1P] = scaled.uns[LOG1P]


def _require_counts(x: Any, where: str) -> None:
    """Refuse values that are no counts; of a dask array, its first rows stand for all."""
    values = stored_sample(x) if is_backed(x) else x.data if sp.issparse(x) else np.asarray(x)
    if not np.isfinite(values).all():
        raise ValueError(f"{where} holds NaN or infinite values.")
    low = values.min(initial=0)
    if low < 0:
        raise ValueError(f"{where} holds negative values (down to {low:.4g}): these are no counts.")
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise ValueError(
            f"{where} holds no integer counts: it was normalised before, or is no count matrix. "
            "Nothing was changed."
        )
