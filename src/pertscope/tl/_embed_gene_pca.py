"""Genes by their expression in control cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from pertscope._core.conditions import label_column
from pertscope._core.matrix import matrix_of, refuse_counts
from pertscope._core.screen import Screen
from pertscope.tl._embedding_table import check_n_dims, embedding_table

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def embed_gene_pca(adata: AnnData, n_dims: int = 100, *, seed: int = 0) -> pd.DataFrame:
    """Describe genes by principal components of their expression in the control cells.

    With X the control cells ``(cells, genes)`` on the registered scale, the scores of the PCA of
    ``X'``: genes are what varies, cells are what they vary along. A knocked-down gene is then
    described by where it is expressed in this screen alone, which knows nothing of databases.
    For one line of several, pass its cells.

    Parameters
    ----------
    adata
        Registered screen, log-normalised.
    n_dims
        Components, fewer than there are control cells and genes.
    seed
        Seed of the vector that the search of the components starts from.

    Returns
    -------
    float32 ``(genes, components)``, for :func:`pertscope.pp.add_perturbation_embedding`.

    Raises
    ------
    KeyError
        If the screen is not registered.
    ValueError
        If the registered layer holds counts, NaN or infinite values, genes have the same name, or
        there are too few control cells or genes.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), section 4.5.1.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata)
    >>> ps.pp.normalize(adata)
    >>> ps.tl.embed_gene_pca(adata, 5).shape
    (50, 5)
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    screen = Screen.of(adata)
    refuse_counts(adata, screen.layer, "`embed_gene_pca`")
    labels = label_column(adata.obs, screen.perturbation_key)
    controls = np.flatnonzero(np.asarray(labels == screen.control))
    most = min(len(controls), adata.n_vars) - 1
    why = f"there are {len(controls)} control cells and {adata.n_vars} genes"
    check_n_dims(n_dims, most, why)
    x = matrix_of(adata, screen.layer)[controls]
    x = x.compute() if hasattr(x, "compute") else x
    x = sp.csr_matrix(x, dtype=np.float64).T if sp.issparse(x) else np.asarray(x, np.float64).T
    if not np.isfinite(x.data if sp.issparse(x) else x).all():
        raise ValueError("control cells hold NaN or infinite values.")
    with threadpool_limits(1):  # several threads differ in their last digits
        vectors = PCA(n_dims, svd_solver="arpack", random_state=seed).fit_transform(x)
    return embedding_table(adata.var_names, vectors)
