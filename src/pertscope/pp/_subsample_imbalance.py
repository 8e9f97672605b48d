"""Make a screen as unbalanced over its covariates as wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.imbalance import imbalance_of_counts, perturbations_per_context
from pertscope._core.screen import Screen, require_actual

if TYPE_CHECKING:
    from anndata import AnnData

POWERS = np.append(0.0, np.geomspace(1e-4, 1e6, 8192))
"""Exponents tried: so dense that numbers of perturbations change one by one."""


def subsample_imbalance(
    adata: AnnData, imbalance: float, *, min_perturbations: int = 30, seed: int = 0
) -> None:
    """Drop perturbations from all but the first combination of covariates, in place.

    The number kept in each is drawn at random so that ``1 - H / log k`` comes as near to
    `imbalance` as whole numbers allow, H being the entropy of the shares of perturbations in
    the k combinations of covariates. Controls and the first combination stay whole.

    Parameters
    ----------
    adata
        Registered screen with at least two combinations of covariates.
    imbalance
        Wanted imbalance: 0 is balanced.
    min_perturbations
        Fewest perturbations kept in a combination of covariates (or all it has).
    seed
        Seed of the draw.

    Returns
    -------
    ``None``. Subsets the cells of `adata`.

    Raises
    ------
    ValueError
        If the screen lies on disk or has one combination of covariates, or the imbalance is out
        of reach.

    References
    ----------
    Wu et al., PerturBench (2024), appendix D.4; the sign of its printed formula is a slip.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=12, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.subsample_imbalance(adata, 0.1, min_perturbations=2)
    >>> 0.05 < ps.get.imbalance(adata) < 0.15
    True
    """
    conditions = screen_conditions(adata, Screen.of(adata))
    if adata.isbacked:
        raise ValueError("the screen lies on disk: read it into memory to subset it in place.")
    full = perturbations_per_context(conditions)
    if len(full) < 2:
        raise ValueError("the screen has one combination of covariates: it cannot be unbalanced.")
    least = np.minimum(min_perturbations, full)
    least[0] = full[0]
    rng = np.random.default_rng(seed)
    share = rng.uniform(size=len(full))
    share[0] = 1.0

    counts = np.maximum(least, np.round(full * share ** POWERS[:, None])).astype(np.int64)
    counts = counts[np.append(True, (np.diff(counts, axis=0) != 0).any(axis=1))]
    reached = np.array([imbalance_of_counts(c) for c in counts])
    if not reached.min() - 1e-9 <= imbalance <= reached.max() + 1e-9:
        raise ValueError(
            f"an imbalance of {imbalance} is out of reach: this screen allows {reached.min():.3f} "
            f"to {reached.max():.3f} with `min_perturbations`={min_perturbations}."
        )
    best = counts[np.argmin(np.abs(reached - imbalance))]
    keep = conditions.is_control.copy()
    for context, n in enumerate(best):
        there = np.flatnonzero((conditions.context == context) & ~conditions.is_control)
        keep[rng.permutation(there)[:n]] = True
    require_actual(adata)
    adata._inplace_subset_obs(keep[conditions.codes])
