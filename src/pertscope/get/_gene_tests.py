"""Tests of every gene of every condition against its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import matrix_of
from pertscope._core.moments import moments
from pertscope._core.rank_sum import rank_sum_test
from pertscope._core.screen import Screen
from pertscope._core.t_test import VARIANTS, t_test

if TYPE_CHECKING:
    from anndata import AnnData

METHODS = (*VARIANTS, "wilcoxon")


def gene_tests(
    adata: AnnData, *, method: str = "t-test", tie_correct: bool = False
) -> pd.DataFrame:
    """Test every gene of every condition against its matched controls, all at once.

    ``"t-test"`` is Welch's, ``t = (mean - mean_0) / sqrt(v / n + v_0 / n_0)``, from one pass over
    the cells; ``"t-test_overestim_var"`` puts n in place of n_0; ``"wilcoxon"`` is the rank-sum
    test, ``z = (W - n (N + 1) / 2) / sqrt(n n_0 (N + 1) / 12)``, with N cells in condition and
    controls. They agree with ``scanpy.tl.rank_genes_groups(reference=control)``.

    Parameters
    ----------
    adata
        Registered screen; in memory, backed or dask.
    method
        As above.
    tie_correct
        Divide the variance of the rank sum by what ties take from it.

    Returns
    -------
    One row per condition and gene, in the order of conditions and genes: the covariates,
    ``perturbation``, ``gene`` (categorical), ``effect`` (difference of the means), ``score``,
    ``p_value``, and ``p_adjusted`` (Benjamini and Hochberg, within the condition), float64.

    Raises
    ------
    KeyError
        If the screen is not registered.
    ValueError
        If the method is unknown, values are NaN or infinite, or controls are missing.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> table = ps.get.gene_tests(adata, method="wilcoxon")
    >>> table.query("p_adjusted < 0.05").shape[0] > 0
    True
    """
    if method not in METHODS:
        raise ValueError(f"`method`={method!r} must be one of {METHODS}.")
    screen = Screen.of(adata)
    conditions = screen_conditions(adata, screen)
    rows = np.flatnonzero(~conditions.is_control)
    reference = np.arange(len(conditions))
    reference[rows] = conditions.matched_controls(rows)
    x, codes, n = matrix_of(adata, screen.layer), conditions.codes, len(conditions)
    found = moments(x, codes, n, names=adata.var_names)
    if method == "wilcoxon":
        test = rank_sum_test(x, codes, n, reference, tie_correct=tie_correct, names=adata.var_names)
    else:
        test = t_test(found, reference, variant=method)
    genes = adata.n_vars
    table = conditions.table.iloc[np.repeat(rows, genes)].reset_index(drop=True)
    table = table.rename(columns={screen.perturbation_key: keys.PERTURBATION}).astype("category")
    names = pd.Categorical.from_codes(np.tile(np.arange(genes), len(rows)), adata.var_names)
    return table.assign(
        gene=names,
        effect=(found.mean[rows] - found.mean[reference[rows]]).ravel(),
        score=test.score[rows].ravel(),
        p_value=test.p_value[rows].ravel(),
        p_adjusted=test.p_adjusted[rows].ravel(),
    )
