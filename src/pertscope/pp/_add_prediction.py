"""Bring in a prediction made by any other tool."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pertscope._core.conditions import conditions_of, match_conditions, screen_conditions
from pertscope._core.keys import check_key
from pertscope._core.messages import listed
from pertscope._core.predictions import align_prediction, store_prediction
from pertscope._core.screen import Screen, require_actual, require_anndata

if TYPE_CHECKING:
    from anndata import AnnData


def add_prediction(adata: AnnData, prediction: AnnData, key: str) -> None:
    """Keep a prediction in the screen, so that every evaluation and plot sees it.

    Parameters
    ----------
    adata
        Registered screen.
    prediction
        Predicted expression in ``.X``, on the scale of the registered layer: one row per condition
        (its mean) or many (predicted cells). ``.obs`` holds the screen's perturbation and covariate
        columns, ``.var_names`` its genes in any order.
    key
        Name of the prediction, such as the model's.

    Returns
    -------
    ``None``. Writes ``.uns["pertscope"]["predictions"][key]``, an AnnData ``(rows, genes)`` with
    genes in the screen's order. Rows of controls are set aside in its ``.uns["controls"]``.

    Raises
    ------
    KeyError
        If a condition column is missing.
    ValueError
        If genes are missing or named twice, values are NaN or infinite, counts are given for a
        log-normalised screen, or the prediction holds nothing but controls.

    Warns
    -----
    UserWarning
        If genes are dropped that the screen does not have, or conditions were never observed: they
        are kept, but cannot be scored.

    Examples
    --------
    >>> import anndata as ad, pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> cells = adata[adata.obs["perturbation"] != "control"]  # as if another tool made them
    >>> prediction = ad.AnnData(
    ...     cells.X.copy(), obs=cells.obs[["cell_type", "perturbation"]], var=adata.var[[]]
    ... )
    >>> ps.pp.add_prediction(adata, prediction, "my_model")
    >>> ps.get.prediction(adata, "my_model").shape == prediction.shape
    True
    """
    screen = Screen.of(adata)
    require_anndata(prediction)
    check_key(key, "key")
    aligned = align_prediction(prediction, adata, screen, check_scale=True)
    extra = prediction.var_names.difference(adata.var_names)
    if len(extra):
        warnings.warn(
            f"prediction {key!r}: dropped {len(extra)} gene(s) that the screen does not have: "
            f"{listed(extra)}.",
            UserWarning,
            stacklevel=2,
        )
    predicted = conditions_of(aligned.obs, screen)
    unseen = match_conditions(predicted.table, screen_conditions(adata, screen)) < 0
    if unseen.any():
        warnings.warn(
            f"prediction {key!r}: {int(unseen.sum())} condition(s) were never observed and cannot "
            f"be scored: {listed(predicted.index[unseen])}.",
            UserWarning,
            stacklevel=2,
        )
    require_actual(adata)
    store_prediction(adata, key, aligned)
