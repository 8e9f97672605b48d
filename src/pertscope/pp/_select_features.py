"""Choose the genes to model: variable, responding, and perturbed ones."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import (
    is_backed,
    looks_like_counts,
    matrix_of,
    refuse_counts,
    row_block,
)
from pertscope._core.moments import moments
from pertscope._core.screen import Screen, require_actual
from pertscope._core.t_test import t_test

if TYPE_CHECKING:
    from anndata import AnnData


def select_features(
    adata: AnnData,
    *,
    n_top_genes: int = 4000,
    n_degs: int = 25,
    counts_layer: str = keys.COUNTS_LAYER,
    subset: bool = False,
) -> None:
    """Select variable genes, the top responding genes of every condition, and perturbed genes.

    Variable genes are scanpy's ``highly_variable_genes(flavor="seurat_v3")`` on counts. Responding
    genes have the largest ``|t|`` of Welch's t-test against the matched controls, so that genes
    that go down count as much as genes that go up; a ``t`` of 0, or an undefined one, is no
    response. Perturbed genes are those named by a perturbation.

    All conditions choose genes, those that a split holds out as well, as in the published protocol:
    to let train alone choose, call it on a copy of the train part.

    Parameters
    ----------
    adata
        Registered screen with log-normalised values in the registered layer.
    n_top_genes
        Number of variable genes.
    n_degs
        Number of responding genes per condition (of two cells or more); 0 for none.
    counts_layer
        Layer with the counts, as :func:`pertscope.pp.normalize` keeps them. A dask array is read
        into memory.
    subset
        Drop the other genes, in place; not of an AnnData on disk.

    Returns
    -------
    ``None``. Writes to ``.var``, bool ``(genes,)``: ``highly_variable``,
    ``differentially_expressed``, ``perturbed``, and ``selected``, their union.

    Raises
    ------
    KeyError
        If the counts layer does not exist.
    ValueError
        If it holds no counts, the registered layer holds nothing but counts, or genes of an AnnData
        on disk would be dropped.

    References
    ----------
    Wu et al., PerturBench (2024), appendix D.3, which ranks by signed t.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=300, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.select_features(adata, n_top_genes=50, n_degs=5)
    >>> bool(adata.var["selected"].sum() >= 50)
    True
    """
    screen = Screen.of(adata)
    if subset and adata.isbacked:
        raise ValueError(
            "genes of an AnnData on disk cannot be dropped in place: leave out `subset`, and copy "
            'the selection, `adata[:, adata.var["selected"]].to_memory()`.'
        )
    if not looks_like_counts(matrix_of(adata, counts_layer)):
        raise ValueError(f"layer {counts_layer!r} holds no integer counts: seurat_v3 needs them.")
    refuse_counts(adata, screen.layer, "selecting responding genes")
    if n_top_genes < 1 or n_degs < 0:
        raise ValueError(
            f"`n_top_genes`={n_top_genes} must be positive, `n_degs`={n_degs} not negative."
        )
    conditions = screen_conditions(adata, screen)
    controls = conditions.matched_controls(np.arange(len(conditions)))
    of_condition = moments(
        matrix_of(adata, screen.layer), conditions.codes, len(conditions), names=adata.var_names
    )
    responding = np.zeros(adata.n_vars, dtype=bool)
    tested = ~conditions.is_control & (of_condition.n > 1)
    strength = np.abs(t_test(of_condition, controls).score[tested])
    top = np.argsort(-strength, axis=1, kind="stable")[:, :n_degs]
    responding[top[np.take_along_axis(strength, top, axis=1) > 0]] = True
    perturbed = adata.var_names.isin({p for parts in conditions.components for p in parts})
    variable = _highly_variable(adata, min(n_top_genes, adata.n_vars), counts_layer)

    require_actual(adata)
    adata.var[keys.HIGHLY_VARIABLE] = variable
    adata.var[keys.DIFFERENTIALLY_EXPRESSED] = responding
    adata.var[keys.PERTURBED] = perturbed
    adata.var[keys.SELECTED] = variable | responding | perturbed
    if subset:
        adata._inplace_subset_var(adata.var[keys.SELECTED].to_numpy())


def _highly_variable(adata: AnnData, n_top_genes: int, counts_layer: str) -> np.ndarray:
    import scanpy as sc
    from anndata import AnnData

    counts = AnnData(
        _for_scanpy(matrix_of(adata, counts_layer)), obs=adata.obs[[]], var=adata.var[[]]
    )
    with warnings.catch_warnings():
        # scanpy counts values as integers only up to float tolerance; the check above is exact.
        warnings.filterwarnings("ignore", message=".*expects raw count data.*")
        table = sc.pp.highly_variable_genes(
            counts, n_top_genes=n_top_genes, flavor="seurat_v3", inplace=False
        )
    return np.asarray(table["highly_variable"], dtype=bool)


def _for_scanpy(counts: Any) -> Any:
    """Counts as scanpy computes their variances rightly: in memory, CSR or of a wide type.

    It squares dense values in their own type, which small ones overflow; does not clip values of
    dask arrays; and does not take sparse arrays.
    """
    if is_backed(counts):
        counts = row_block(counts, 0, counts.shape[0])
    if sp.issparse(counts):
        return sp.csr_matrix(counts)
    wide = counts.dtype in (np.float32, np.float64, np.int64)
    return counts if wide else counts.astype(np.float32)
