"""A prediction that is kept in a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.predictions import chosen_predictions
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from anndata import AnnData


def prediction(adata: AnnData, key: str) -> AnnData:
    """Return the prediction that is kept under `key`.

    Parameters
    ----------
    adata
        Registered screen.
    key
        ``key_added`` of the function that made it, or `key` of :func:`pertscope.pp.add_prediction`.

    Returns
    -------
    AnnData ``(rows, genes)``: predicted expression in ``.X``, the screen's covariates and
    perturbation in ``.obs``, the screen's genes. One row per condition, or predicted cells.

    Raises
    ------
    KeyError
        If there is no such prediction; the nearest names are given.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_mean_effect(adata)
    >>> ps.get.prediction(adata, "mean_effect").n_vars
    50
    """
    Screen.of(adata)
    return chosen_predictions(adata, key)[key]
