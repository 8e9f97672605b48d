"""Do the cells of a perturbation point the same way?"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.distances import unit_rows
from pertscope._core.gene_test import adjust_p_values
from pertscope._core.messages import listed, nearest
from pertscope._core.representation import represented
from pertscope._core.screen import Screen, require_actual
from pertscope._core.threads import in_threads
from pertscope.ev._mean_cosine import mean_cosine, permutation_p, similarities_by_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.representation import Represented


def consistency(
    adata: AnnData,
    use_rep: str | None = "X_pca",
    *,
    null: str | Sequence[str] | None = None,
    diagonal: bool = True,
    min_null: int = 1000,
    match_sizes: bool = True,
    n_permutations: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
    key_added: str = "consistency",
) -> None:
    r"""Test whether the cells of each perturbation are more alike than cells that nothing moved.

    The similarity of a perturbation of n cells is the mean cosine of all their pairs, which costs
    O(n d) through the mean of the unit vectors u:

    .. math::
        s = \Big\| \tfrac1n \sum_i u_i \Big\|^2, \qquad
        s_{\text{no diagonal}} = \frac{n^2 s - \sum_i \|u_i\|^2}{n (n - 1)}

    Its p-value is :math:`(1 + \#\{s_0 \ge s\}) / (1 + K)` over K similarities under the null.
    With at least `min_null` null perturbations these are their similarities, of n cells drawn from
    each, since few cells that nothing moved are more similar than many (s is 1/n on average). With
    fewer, cells of the perturbation and null cells swap labels `n_permutations` times, within each
    batch and combination of covariates, which keeps n and holds the level whatever the batches do.
    Where the null cells are the controls, their mean u is taken away before and after each swap: in
    a representation centred on them it is 0, and that of cells just like them is not.

    Parameters
    ----------
    adata
        Registered screen.
    use_rep
        Key of ``.obsm``, such as one that :func:`~pertscope.pp.center` wrote: in a representation
        that is not centred all cells point the same way. ``None`` is the registered layer.
    null
        Perturbations of genes that are not expressed: their labels, or a boolean column of
        ``.obs`` that marks their cells. They are not tested. ``None`` takes the controls.
    diagonal
        Keep the pairs of a cell with itself, as the paper does; ``False`` leaves them out.
    min_null
        Least number of null perturbations that are a null by themselves.
    match_sizes
        ``False`` takes all cells of the null perturbations, as the paper and EFAAR do: those with
        fewer cells then pass for consistent, with a third as many all of them.
    n_permutations
        Permutations per perturbation where there are fewer.
    alpha
        Level of ``significant``.
    seed
        Seed of the permutations and draws.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per perturbation:
    ``perturbation`` (categorical), ``n_cells`` (int64), ``similarity``, ``p_value``,
    ``p_adjusted`` (float64, Benjamini and Hochberg), ``significant`` (bool, ``p_value < alpha``).
    *The score of the representation is the mean of* ``significant``, over perturbations that have
    a p-value; `alpha` is its floor.

    Raises
    ------
    KeyError
        If the screen is not registered, or the representation, a column or a label does not exist.
    ValueError
        If values are not finite, or a batch has perturbed cells but no null cells.

    Warns
    -----
    UserWarning
        If perturbations have a single cell: they have no pair, and no p-value.

    Notes
    -----
    The paper prints ``s_0 <= s`` without the ``+ 1``, and does not permute. After centring on the
    same controls p-values are too large (1 % of noise below 0.05), after TVN on 64 controls per
    batch too small (9 %).

    References
    ----------
    Celik et al., PLoS Comput. Biol. 20 (2024); Bendidi et al. (2024), section 3.3.

    Examples
    --------
    >>> import pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=5)
    >>> ps.ev.consistency(adata, n_permutations=100)
    >>> adata.uns["consistency"]["n_cells"].tolist()
    [300, 300, 300, 300]
    """
    keys.check_key(key_added)
    if n_permutations < 1 or min_null < 1:
        raise ValueError(
            f"`n_permutations`={n_permutations} and `min_null`={min_null} must be at least 1."
        )
    cells = represented(adata, use_rep)
    is_null = _null_cells(adata, cells, null)
    unit = unit_rows(cells.x)
    similarity, n_cells = mean_cosine(unit, cells.perturbation, len(cells.names), diagonal=diagonal)
    of_null = np.unique(cells.perturbation[is_null])
    tested = np.setdiff1d(np.unique(cells.perturbation), [*of_null, cells.control])
    if not len(tested):
        raise ValueError("every perturbation is in `null`: none is left to test.")
    single = tested[n_cells[tested] < 2]
    if len(of_null) >= min_null:
        p_value = _p_by_size(
            unit[is_null],
            np.unique(cells.perturbation[is_null], return_inverse=True)[1],
            similarity[tested],
            np.maximum(n_cells[tested], 2) if match_sizes else np.full(len(tested), len(unit)),
            seed,
            diagonal=diagonal,
        )
    else:
        contrast = bool(cells.is_control[is_null].all())
        strata = _strata(adata, cells, is_null, np.isin(cells.perturbation, tested))
        draws = (
            (unit, cells.perturbation == g, is_null, strata, n_permutations, (seed, int(g)))
            for g in tested
        )
        p_value = np.array(in_threads(partial(permutation_p, contrast=contrast), draws))
    p_value = np.where(n_cells[tested] < 2, np.nan, p_value)
    if len(single):
        warnings.warn(
            f"{len(single)} perturbation(s) have a single cell and no p-value: "
            f"{listed(cells.names[single])}.",
            UserWarning,
            stacklevel=2,
        )
    p_adjusted = np.full(len(tested), np.nan)
    p_adjusted[~np.isnan(p_value)] = adjust_p_values(p_value[~np.isnan(p_value)])
    table = pd.DataFrame(
        {
            keys.PERTURBATION: pd.Categorical(cells.names[tested]),
            "n_cells": n_cells[tested],
            "similarity": np.where(n_cells[tested] < 2, np.nan, similarity[tested]),
            "p_value": p_value,
            "p_adjusted": p_adjusted,
            "significant": p_value < alpha,
        }
    )
    table.index = table.index.astype(str)
    require_actual(adata)
    adata.uns[key_added] = table


def _null_cells(adata: AnnData, cells: Represented, null: str | Sequence[str] | None) -> np.ndarray:
    """Whether a cell is one that nothing moved, bool ``(cells,)``."""
    if null is None:
        found = cells.is_control
        if not found.any():
            raise ValueError("the screen has no controls any more: give the `null` perturbations.")
        return found
    if isinstance(null, str):
        if null not in adata.obs.columns:
            raise KeyError(f"`.obs` has no column {null!r}; {nearest(null, adata.obs.columns)}.")
        column = adata.obs[null]
        if column.dtype != bool:
            raise TypeError(f"`.obs[{null!r}]` must be boolean to mark null cells.")
        found = column.to_numpy()
    else:
        unknown = sorted(set(map(str, null)) - set(cells.names))
        if unknown:
            raise KeyError(
                f"`null` names {len(unknown)} perturbation(s) that the screen does not have: "
                f"{listed(unknown)}; {nearest(unknown[0], cells.names)}."
            )
        found = np.isin(cells.names.astype(str), list(map(str, null)))[cells.perturbation]
    if not found.any():
        raise ValueError("`null` marks no cell.")
    return np.asarray(found)


def _p_by_size(
    unit: np.ndarray,
    codes: np.ndarray,
    similarity: np.ndarray,
    size: np.ndarray,
    seed: int,
    *,
    diagonal: bool,
) -> np.ndarray:
    """P-values against null perturbations with as many cells, float64 ``(tested,)``.

    `unit` and `codes` are those of the null cells, `similarity` and `size` of what is tested.
    """
    sizes, which = np.unique(size, return_inverse=True)
    known = similarities_by_size(unit, codes, sizes, seed, diagonal=diagonal)
    p_value = np.empty(len(size))
    for i, null in enumerate(known):
        n_higher = len(null) - np.searchsorted(null, similarity[which == i], side="left")
        p_value[which == i] = (1 + n_higher) / (1 + len(null))
    return p_value


def _strata(
    adata: AnnData, cells: Represented, is_null: np.ndarray, is_tested: np.ndarray
) -> np.ndarray:
    """Batch and combination of covariates of each cell, int64 ``(cells,)``."""
    conditions = screen_conditions(adata, Screen.of(adata))
    context = conditions.context[conditions.codes]
    strata = context * len(cells.batches) + cells.batch
    lost = np.setdiff1d(strata[is_tested], strata[is_null])
    if len(lost):
        names = [
            "|".join((*conditions.contexts[s // len(cells.batches)], str(cells.batches[b])))
            for s, b in zip(lost, lost % len(cells.batches), strict=True)
        ]
        raise ValueError(
            f"{len(lost)} batch(es) have perturbed cells but no null cells (controls, or those of "
            f"`null`): {listed(names)}. Drop them, or name null perturbations that they have."
        )
    return strata
