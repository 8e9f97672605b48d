"""Predict any conditions with a trained model: an in-silico screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.keys import check_key
from pertscope._core.screen import Screen, require_actual
from pertscope.tl._train_and_predict import keep_prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

    from pertscope.models.base import ResponseModel


def predict(
    adata: AnnData,
    model: ResponseModel,
    conditions: pd.DataFrame | Sequence[str] | None = None,
    *,
    max_controls: int | None = None,
    cells_per_condition: int | None = None,
    dose: float | None = None,
    seed: int = 0,
    key_added: str | None = None,
) -> None:
    """Predict conditions, observed or not, from the control cells in `adata`.

    The prediction of a condition is the mean response of all control cells with its covariates.

    Parameters
    ----------
    adata
        Registered screen with the model's genes.
    model
        Trained model.
    conditions
        Table with the screen's covariate and perturbation columns; or labels of perturbations,
        such as ``["A", "A+B"]``, wanted in every combination of covariates; ``None`` for the val
        and test conditions.
    max_controls
        Most control cells per combination of covariates, drawn at random; all by default.
    cells_per_condition
        Keep this many predicted cells per condition in place of the mean.
    dose
        Dose of all of them; by default the doses of their cells, in the same shares.
    seed
        Seed of these draws.
    key_added
        Name of the prediction; by default the model's name.

    Returns
    -------
    ``None``. Writes ``.uns["pertscope"]["predictions"][key_added]``, an AnnData
    ``(conditions, genes)`` or ``(cells, genes)``, float32.

    Raises
    ------
    ValueError
        If the model never saw a perturbation or covariate value, or genes differ.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_combinations=6, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_combinations(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_additive(adata)
    >>> singles = ps.get.conditions(adata).query("~is_control & ~is_combination")["perturbation"]
    >>> first, *others = singles.unique()
    >>> ps.tl.predict(adata, model, [f"{first}+{p}" for p in others], key_added="doubles")
    >>> ps.get.prediction(adata, "doubles").n_obs == len(others) * adata.obs["cell_type"].nunique()
    True
    """
    key_added = check_key(model.name if key_added is None else key_added)
    Screen.of(adata)
    prediction = model.predict(
        conditions,
        adata=adata,
        max_controls=max_controls,
        cells_per_condition=cells_per_condition,
        dose=dose,
        seed=seed,
    )
    require_actual(adata)
    keep_prediction(adata, model, prediction, key_added)
