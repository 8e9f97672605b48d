"""A screen whose rows are conditions: what was measured of each, relative to its controls."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.keys import CONTROL_MEAN, PERTURBATION_EMBEDDINGS, UNS
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed
from pertscope._core.moments import moments

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions

N_CELLS = "n_cells"


def effect_screen(
    adata: AnnData, conditions: Conditions, values: np.ndarray, kept: np.ndarray
) -> AnnData:
    """Screen with one row per condition, and one row of zeros per combination of covariates.

    What the controls are stays in a layer, by their rows: an effect says nothing of it.

    Parameters
    ----------
    adata
        Screen that the conditions belong to.
    conditions
        Its conditions, controls among them.
    values
        Values of the conditions that are kept ``(kept, genes)``.
    kept
        Which those are, int64, ascending.
    """
    import anndata as ad
    import scipy.sparse as sp

    screen = conditions.screen
    controls = np.unique(conditions.matched_controls(kept))
    rows = np.union1d(kept, controls)
    x = np.zeros((len(rows), values.shape[1]), values.dtype)
    x[np.searchsorted(rows, kept)] = values
    obs = conditions.table.iloc[rows].astype("category").set_axis(conditions.index[rows])
    obs[N_CELLS] = conditions.n_cells[rows]
    made = ad.AnnData(x, obs=obs, var=adata.var.copy())
    n, code = len(controls), np.full(len(conditions), -1)
    code[controls] = np.arange(n)
    matrix = matrix_of(adata, CONTROL_MEAN if CONTROL_MEAN in adata.layers else screen.layer)
    mean = moments(matrix, code[conditions.codes], n, names=adata.var_names).mean
    place = (np.ones(n), (np.searchsorted(rows, controls), np.arange(n)))
    at_rows = sp.csr_matrix(place, shape=(len(rows), n), dtype=np.float32)
    made.layers[CONTROL_MEAN] = at_rows @ sp.csr_matrix(mean.astype(np.float32))
    replace(screen, batch_key=None, dose_key=None, layer=None).write(made)
    embeddings = adata.uns[UNS].get(PERTURBATION_EMBEDDINGS)
    if embeddings is not None:
        made.uns[UNS][PERTURBATION_EMBEDDINGS] = {k: dict(v) for k, v in embeddings.items()}
    return made


def require_kept(conditions: Conditions, rows: np.ndarray, kept: np.ndarray, needed: str) -> None:
    """Name the conditions that are left out, and refuse to leave out all.

    Parameters
    ----------
    rows
        Conditions that were looked at, int64.
    kept
        Which of them are kept, bool.
    needed
        What the others do not have.

    Raises
    ------
    ValueError
        If none is kept.
    """
    if not kept.any():
        raise ValueError(f"no condition has {needed}.")
    if not kept.all():
        warnings.warn(
            f"{np.count_nonzero(~kept)} of {len(kept)} condition(s) do not have {needed}, they are "
            f"left out: {listed(conditions.index[rows[~kept]])}.",
            UserWarning,
            stacklevel=3,
        )
