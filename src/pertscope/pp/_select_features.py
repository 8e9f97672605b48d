"""Choose the genes to model: variable, responding, and perturbed ones."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import looks_like_counts, matrix_of, refuse_counts
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
    that go down count as much as genes that go up. Perturbed genes are those named by a
    perturbation.

    Parameters
    ----------
    adata
        Registered screen with log-normalised values in the registered layer.
    n_top_genes
        Number of variable genes.
    n_degs
        Number of responding genes per condition (of two cells or more); 0 for none.
    counts_layer
        Layer with the counts, as :func:`pertscope.pp.normalize` keeps them.
    subset
        Drop the other genes, in place.

    Returns
    -------
    ``None``. Writes to ``.var``, bool ``(genes,)``: ``highly_variable``,
    ``differentially_expressed``, ``perturbed``, and ``selected``, their union.

    Raises
    ------
    KeyError
        If the counts layer does not exist.
    ValueError
        If it holds no counts, or the registered layer holds nothing but counts.

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
    responding[np.argsort(-strength, axis=1, kind="stable")[:, :n_degs]] = n_degs > 0
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

    with warnings.catch_warnings():
        # scanpy counts values as integers only up to float tolerance; the check above is exact.
        warnings.filterwarnings("ignore", message=".*expects raw count data.*")
        table = sc.pp.highly_variable_genes(
            adata, n_top_genes=n_top_genes, flavor="seurat_v3", layer=counts_layer, inplace=False
        )
    return np.asarray(table["highly_variable"], dtype=bool)
