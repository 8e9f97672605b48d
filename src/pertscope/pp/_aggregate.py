"""From cells or wells to profiles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core.conditions import label_column
from pertscope._core.matrix import matrix_of
from pertscope._core.profiles import METHODS, aggregated
from pertscope._core.representation import representation_of
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

N_CELLS = "n_cells"


def aggregate(
    adata: AnnData,
    by: str | Sequence[str],
    *,
    use_rep: str | None = None,
    layer: str | None = None,
    method: str = "mean",
) -> AnnData:
    """Aggregate cells to one profile per well, perturbation, or any combination of columns.

    Unlike the other functions here it returns its result, as it has other rows.

    Parameters
    ----------
    adata
        Registered screen.
    by
        Column or columns of ``.obs``; rows with the same values become one.
    use_rep
        Key of ``.obsm`` to aggregate; by default `layer`.
    layer
        Layer to aggregate; by default the registered one.
    method
        ``"mean"``, ``"median"``, or ``"modz"``: a mean weighted by each row's mean Spearman
        correlation with the others, negative correlations counted as 0, weights at least 0.01.

    Returns
    -------
    AnnData ``(groups, features)``, float32 or float64 like what is aggregated, rows sorted by `by`.
    ``.obs`` holds the columns that are the same throughout every group, and ``n_cells``, int64:
    rows per group, or the sum of their ``n_cells`` where they were aggregated before. It is
    registered as a screen if it still holds perturbations, with the covariates, batches and doses
    that it still holds.

    Raises
    ------
    KeyError
        If the screen is not registered, or a column, layer or representation does not exist.
    ValueError
        If labels are missing, values are NaN or infinite, both `use_rep` and `layer` are given, or
        `method` is unknown.

    References
    ----------
    MODZ: Subramanian et al., A next generation connectivity map, Cell 171 (2017).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> profiles = ps.pp.aggregate(adata, ["cell_type", "perturbation"])
    >>> bool(profiles.obs["n_cells"].sum() == adata.n_obs)
    True
    """
    screen = Screen.of(adata)
    columns = [by] if isinstance(by, str) else list(by)
    if not columns:
        raise ValueError("`by` names no column.")
    if method not in METHODS:
        raise ValueError(f"`method`={method!r} must be one of {list(METHODS)}.")
    if use_rep is not None and layer is not None:
        raise ValueError("give one of `use_rep` and `layer`, not both.")
    x: Any
    if use_rep is None:
        x, var = matrix_of(adata, layer or screen.layer), adata.var.copy()
    else:
        x = representation_of(adata, use_rep)
        stored = adata.obsm[use_rep]
        named = list(stored.columns) if isinstance(stored, pd.DataFrame) else range(x.shape[1])
        var = pd.DataFrame(index=[f"{use_rep}_{n}" for n in named])
    codes, labels = _groups(adata.obs, columns)
    values = aggregated(x, codes, len(labels), method)
    return _assembled(adata, screen, codes, labels, values.astype(_float_type(x)), var)


def _float_type(x: Any) -> np.dtype[Any]:
    """float32 of float32 and of small integers, float64 of the rest."""
    return np.result_type(x.dtype, np.float32)


def _groups(obs: pd.DataFrame, columns: list[str]) -> tuple[np.ndarray, pd.Index]:
    """Group of each row, int64 ``(rows,)``, and the names of the groups."""
    frame = pd.DataFrame({str(i): label_column(obs, c) for i, c in enumerate(columns)})
    codes = frame.groupby(list(frame.columns), sort=True, observed=True).ngroup()
    codes = codes.to_numpy(np.int64)
    first = frame.iloc[np.unique(codes, return_index=True)[1]].astype(str)
    return codes, pd.Index(first.agg("|".join, axis=1), dtype=object)


def _assembled(
    adata: AnnData,
    screen: Screen,
    codes: np.ndarray,
    labels: pd.Index,
    values: np.ndarray,
    var: pd.DataFrame,
) -> AnnData:
    from anndata import AnnData

    first = np.unique(codes, return_index=True)[1]
    kept = [c for c in adata.obs.columns if c != N_CELLS and _same(adata.obs[c], codes, first)]
    obs = adata.obs[kept].iloc[first].set_axis(labels, axis=0)
    for column in obs.columns[[isinstance(t, pd.CategoricalDtype) for t in obs.dtypes]]:
        obs[column] = obs[column].cat.remove_unused_categories()
    counted = N_CELLS in adata.obs and pd.api.types.is_integer_dtype(adata.obs[N_CELLS])
    weight = adata.obs[N_CELLS].to_numpy() if counted else np.ones(len(codes))
    obs[N_CELLS] = np.bincount(codes, weights=weight, minlength=len(labels)).astype(np.int64)
    result = AnnData(values, obs=obs, var=var)
    result.obs_names_make_unique()
    if screen.perturbation_key in kept:
        replace(
            screen,
            covariate_keys=tuple(c for c in screen.covariate_keys if c in kept),
            batch_key=screen.batch_key if screen.batch_key in kept else None,
            dose_key=screen.dose_key if screen.dose_key in kept else None,
            layer=None,
        ).write(result)
    return result


def _same(column: pd.Series, codes: np.ndarray, first: np.ndarray) -> bool:
    """Whether a column has one value in every group."""
    found = pd.factorize(column, use_na_sentinel=False)[0]
    return bool((found == found[first][codes]).all())
