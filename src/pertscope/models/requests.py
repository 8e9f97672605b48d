"""Which conditions a prediction is asked for, from which control cells, and the answer's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core.conditions import conditions_of, match_conditions
from pertscope._core.keys import TEST, VAL
from pertscope._core.messages import listed
from pertscope._core.moments import moments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions


def wanted_conditions(
    conditions: pd.DataFrame | Sequence[str] | None,
    observed: Conditions,
    *,
    split: Callable[[], np.ndarray],
) -> Conditions:
    """Conditions to predict: those asked for, or the held-out ones.

    Parameters
    ----------
    conditions
        Table with the condition columns; labels of perturbations, wanted wherever there are
        controls; or ``None`` for the conditions whose cells are in val or test.
    observed
        Conditions of the screen.
    split
        Gives the part of each cell, where it is needed.

    Raises
    ------
    TypeError
        If `conditions` is one label.
    ValueError
        If there is nothing to predict, or the table has the column of the doses.
    """
    screen = observed.screen
    if conditions is None:
        chosen = np.unique(observed.codes[np.isin(split(), (VAL, TEST))])
        chosen = chosen[~observed.is_control[chosen]]
        if len(chosen) == 0:
            raise ValueError(
                "no perturbed condition lies in 'val' or 'test': name the `conditions` to predict."
            )
        return observed.take(chosen)
    if isinstance(conditions, str):
        raise TypeError(f"`conditions` takes a list of labels: [{conditions!r}].")
    if not isinstance(conditions, pd.DataFrame):
        labels = pd.DataFrame({screen.perturbation_key: [str(c) for c in conditions]})
        covariates = observed.table.loc[observed.is_control, list(screen.covariate_keys)]
        conditions = covariates.merge(labels, how="cross") if screen.covariate_keys else labels
    elif screen.dose_key in conditions.columns:
        raise ValueError(
            f"`conditions` has a column {screen.dose_key!r}, but no table of conditions says their "
            "doses: drop it, and pass `dose=` once per dose (`ps.tl.predict`: each with a "
            "`key_added` of its own)."
        )
    table = conditions_of(conditions, screen)
    wanted = table.take(np.flatnonzero(~table.is_control))
    if len(wanted) == 0:
        raise ValueError("`conditions` names no perturbation to predict.")
    return wanted


def control_rows(
    observed: Conditions, context: tuple[str, ...], most: int | None, rng: np.random.Generator
) -> np.ndarray:
    """Rows of the control cells of one combination of covariates, at most `most` of them."""
    screen = observed.screen
    control = pd.DataFrame([[*context, screen.control]], columns=screen.condition_keys)
    place = match_conditions(control, observed)[0]
    if place < 0:
        raise ValueError(
            f"{'|'.join(context)!r} has no control cells to predict from; there are controls of "
            f"{listed(observed.index[observed.is_control])}."
        )
    rows = np.flatnonzero(observed.codes == place)
    if most is None or most >= len(rows):
        return rows
    return np.sort(rng.choice(rows, most, replace=False))


def control_means(x: Any, controls: Sequence[np.ndarray], genes: Sequence[str]) -> np.ndarray:
    """Mean of each set of control rows, float64 ``(sets, genes)``, in one pass."""
    codes = np.full(x.shape[0], -1)
    for i, rows in enumerate(controls):
        codes[rows] = i
    return moments(x, codes, len(controls), names=genes).mean


def as_prediction(
    wanted: Conditions, n_rows: np.ndarray, x: np.ndarray, genes: Sequence[str]
) -> AnnData:
    """Prediction of ``n_rows[i]`` rows for the i-th condition, in this order."""
    import anndata as ad

    place = np.repeat(np.arange(len(wanted)), n_rows)
    obs = wanted.table.iloc[place].astype("category")
    names = wanted.index[place].to_numpy()
    if (n_rows > 1).any():
        within = np.arange(len(place)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
        names = np.array([f"{name}|{i}" for name, i in zip(names, within, strict=True)], object)
    obs.index = pd.Index(names)
    return ad.AnnData(x.astype(np.float32), obs=obs, var=pd.DataFrame(index=list(genes)))
