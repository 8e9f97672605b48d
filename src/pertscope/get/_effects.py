"""Observed effects of the conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import matrix_of
from pertscope._core.moments import moments
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from anndata import AnnData


def effects(adata: AnnData) -> pd.DataFrame:
    """Effect of every condition on every gene: its mean minus that of its matched controls.

    ``e_c = mean(x_c) - mean(x_0(c))`` on the registered scale, over all cells of the condition and
    all controls of the same covariates.

    Parameters
    ----------
    adata
        Registered screen, in memory, backed or dask.

    Returns
    -------
    float64 ``(conditions, genes)``, indexed by covariates and perturbation; without controls.

    Raises
    ------
    KeyError
        If `adata` is not registered.
    ValueError
        If values are NaN or infinite, or a condition has no matched controls.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.get.effects(adata).shape[1]
    50
    """
    screen = Screen.of(adata)
    found = screen_conditions(adata, screen)
    kept = np.flatnonzero(~found.is_control)
    controls = found.matched_controls(kept)
    mean = moments(
        matrix_of(adata, screen.layer), found.codes, len(found), names=adata.var_names
    ).mean
    table = found.table.iloc[kept]
    index = (
        pd.MultiIndex.from_frame(table)
        if screen.covariate_keys
        else pd.Index(table[screen.perturbation_key], name=screen.perturbation_key)
    )
    return pd.DataFrame(mean[kept] - mean[controls], index=index, columns=adata.var_names)
