"""Effects of the conditions as a screen of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import refuse_counts
from pertscope._core.screen import Screen
from pertscope.tl._effect_screen import effect_screen, require_kept

if TYPE_CHECKING:
    from anndata import AnnData


def effects(
    adata: AnnData,
    *,
    statistic: str | None = None,
    batch_size: str = "auto",
    min_cells: int = 1,
) -> AnnData:
    """Effects of all conditions as a screen: one row per condition, controls are zeros.

    Cells are read here and not again; what is done with the effects afterwards (splits, models of
    unseen perturbations, metrics of the ``"effect"``) costs as much as a small table. The screen
    is registered, and its effects are its rows: a control of zeros is taken off them.

    Parameters
    ----------
    adata
        Registered screen on a log or standardised scale, in memory, backed or dask: cells, or
        wells of a bulk screen.
    statistic
        ``"effect"``, ``"logfc"`` or ``"ba_ate"``, as :func:`pertscope.get.effects` defines them; by
        default ``"ba_ate"`` where a ``batch_key`` is registered, otherwise ``"effect"``.
    batch_size
        Of ``"ba_ate"``: ``"large"`` compares within each batch, ``"small"`` compares means over
        batches, ``"auto"`` goes by the number of cells. A well holds many cells: for bulk screens
        say ``"large"``. :func:`pertscope.ev.ceiling` wants the same word.
    min_cells
        Conditions with fewer cells are left out.

    Returns
    -------
    AnnData ``(conditions, genes)``, float32, registered under the same columns, without batches,
    doses and split. ``.obs`` holds the covariates, the perturbation and ``n_cells`` (int64);
    ``.var`` and the perturbation embeddings are those of `adata`. Each combination of covariates
    has one row of zeros, its control; what is the mean of its cells stays in the same row of
    ``.layers["control_mean"]``, float32, sparse, for models that read a context from its controls.

    Raises
    ------
    KeyError
        If `adata` is not registered.
    ValueError
        If the screen holds counts, the statistic is unknown or undefined for it, values are NaN or
        infinite, or no condition is left.

    Warns
    -----
    UserWarning
        If conditions are left out: they have too few cells, or no batch in common with controls.

    References
    ----------
    BA-ATE: Cole et al., Foundation Models Improve Perturbation Response Prediction, equations 2-6.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> screen = ps.tl.effects(adata)
    >>> screen.n_obs == adata.obs.groupby(["cell_type", "perturbation"], observed=True).ngroups
    True
    """
    from pertscope.get._effects import observed_effects

    if min_cells < 1:
        raise ValueError(f"`min_cells`={min_cells} must be positive.")
    screen = Screen.of(adata)
    refuse_counts(adata, screen.layer, "`effects`")
    if statistic is None:
        statistic = "effect" if screen.batch_key is None else "ba_ate"
    conditions = screen_conditions(adata, screen)
    rows = np.flatnonzero(~conditions.is_control)
    enough = conditions.n_cells[rows] >= min_cells
    require_kept(conditions, rows, enough, f"{min_cells} cells")
    values = observed_effects(adata, statistic=statistic, batch_size=batch_size).to_numpy()[enough]
    rows, known = rows[enough], ~np.isnan(values).any(axis=1)
    require_kept(conditions, rows, known, "cells and controls in one batch")
    return effect_screen(adata, conditions, values[known].astype(np.float32), rows[known])
