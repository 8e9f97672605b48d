"""Observed effects of the conditions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core.batch_effects import (
    AUTO,
    BatchedCells,
    batch_adjusted_effects,
    check_batch_size,
    size_of_batches,
)
from pertscope._core.conditions import label_column, screen_conditions
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed
from pertscope._core.moments import moments
from pertscope._core.screen import Screen
from pertscope._core.statistics import effect, logfc, require_logfc

if TYPE_CHECKING:
    from anndata import AnnData


STATISTICS = ("effect", "logfc", "ba_ate")


def effects(adata: AnnData, *, statistic: str = "effect", batch_size: str = "auto") -> pd.DataFrame:
    """Effect of every condition on every gene: its mean minus that of its matched controls.

    ``e_c = mean(x_c) - mean(x_0(c))`` on the registered scale, over all cells of the condition and
    all controls of the same covariates; or ``logfc = log2(mean(x_c) + 0.1) - log2(mean(x_0) +
    0.1)`` of log-normalised values; or ``ba_ate``, which compares within batches: for large
    batches, ``mean over batches b that hold both of (x_cb - x_0b)``, for small ones ``mean over b
    of x_cb - mean over b of x_0b``, each over all batches that hold it.

    Parameters
    ----------
    adata
        Registered screen, in memory, backed or dask.
    statistic
        ``"effect"``, ``"logfc"`` or ``"ba_ate"``, which needs a registered ``batch_key``.
    batch_size
        ``"large"`` or ``"small"`` batches in ``ba_ate``; ``"auto"`` is large if the conditions
        have a median of at least 100 cells in a batch.

    Returns
    -------
    float64 ``(conditions, genes)``, indexed by covariates and perturbation; without controls. NaN
    in ``ba_ate`` with large batches where no batch holds both a condition and its controls.

    Raises
    ------
    KeyError
        If `adata` is not registered.
    ValueError
        If the statistic is unknown, values are NaN or infinite, a condition has no matched
        controls, logfc is undefined for the screen, or it has no batches.

    Warns
    -----
    UserWarning
        If ``ba_ate`` is NaN for a condition.

    References
    ----------
    logfc: Wu et al., PerturBench (2024). BA-ATE: Cole et al., Foundation
    Models Improve Perturbation Response Prediction, equations 2-6.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.get.effects(adata).shape[1]
    50
    """
    table = observed_effects(adata, statistic=statistic, batch_size=batch_size)
    lost = table.isna().any(axis=1)
    if lost.any():
        names = table.index[lost]
        if isinstance(names, pd.MultiIndex):
            names = names.map("|".join)
        warnings.warn(
            f"{len(names)} condition(s) share no batch with their controls, 'ba_ate' is NaN: "
            f'{listed(names)}. `batch_size="small"` compares across batches.',
            UserWarning,
            stacklevel=2,
        )
    return table


def observed_effects(
    adata: AnnData, *, statistic: str = "effect", batch_size: str = "auto"
) -> pd.DataFrame:
    """Do what :func:`effects` does, and leave it to the caller to speak of NaN."""
    if statistic not in STATISTICS:
        raise ValueError(f"`statistic`={statistic!r} must be one of {STATISTICS}.")
    check_batch_size(batch_size)
    screen = Screen.of(adata)
    found = screen_conditions(adata, screen)
    kept = np.flatnonzero(~found.is_control)
    controls = found.matched_controls(kept)
    x, genes = matrix_of(adata, screen.layer), adata.var_names
    if statistic == "ba_ate":
        if screen.batch_key is None:
            raise ValueError("'ba_ate' compares within batches: register the screen's `batch_key`.")
        batch = label_column(adata.obs, screen.batch_key).codes.astype(np.int64)
        if batch_size == AUTO:
            perturbed = np.where(found.is_control[found.codes], -1, found.codes)
            batch_size = size_of_batches(perturbed, batch)
        cells = BatchedCells(x, found.codes, batch, names=genes)
        values = batch_adjusted_effects(cells, kept, cells, controls, batch_size=batch_size)
    else:
        mean = moments(x, found.codes, len(found), names=genes).mean
        if statistic == "logfc":
            require_logfc(mean, list(genes), "the screen")
        change = effect if statistic == "effect" else logfc
        values = change(mean[kept], mean[controls])
    table = found.table.iloc[kept]
    index = (
        pd.MultiIndex.from_frame(table)
        if screen.covariate_keys
        else pd.Index(table[screen.perturbation_key], name=screen.perturbation_key)
    )
    return pd.DataFrame(values, index=index, columns=genes)
