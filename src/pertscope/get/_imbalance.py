"""How unevenly perturbations are spread over covariates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.conditions import screen_conditions
from pertscope._core.imbalance import imbalance_of_counts, perturbations_per_context
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from anndata import AnnData


def imbalance(adata: AnnData) -> float:
    """Imbalance of perturbations over combinations of covariates.

    ``1 - H / log k`` with ``H = -sum(s_i log s_i)``, where s_i is the share of the screen's
    conditions that lie in the i-th of k combinations of covariates: 0 if all have equally many
    perturbations, 1 if one has all.

    Parameters
    ----------
    adata
        Registered screen.

    Returns
    -------
    The imbalance; 0 for a single combination of covariates.

    Raises
    ------
    KeyError
        If `adata` is not registered.

    References
    ----------
    Wu et al., PerturBench (2024), appendix D.4; the sign of its printed formula is a slip.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> round(ps.get.imbalance(adata), 6)
    0.0
    """
    return imbalance_of_counts(
        perturbations_per_context(screen_conditions(adata, Screen.of(adata)))
    )
