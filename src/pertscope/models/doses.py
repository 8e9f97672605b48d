"""Doses: each condition at each dose that its cells got, and the scale that networks see."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pertscope._core.conditions import match_conditions
from pertscope._core.messages import listed

if TYPE_CHECKING:
    import pandas as pd

    from pertscope._core.conditions import Conditions


class Doses(NamedTuple):
    """The scale of doses: 0 for none, 1 for the highest dose in training.

    A dose d is ``log(1 + d / lowest) / log(1 + highest / lowest)``, whatever its unit.
    """

    lowest: float
    highest: float

    @classmethod
    def of(cls, doses: np.ndarray) -> Doses:
        """Scale of the positive doses among these."""
        positive = doses[doses > 0]
        if len(positive) == 0:
            raise ValueError("no perturbed cell of the train part has a positive dose.")
        return cls(float(positive.min()), float(positive.max()))

    def scaled(self, dose: np.ndarray) -> np.ndarray:
        """Doses as networks see them, float64."""
        return np.log1p(dose / self.lowest) / np.log1p(self.highest / self.lowest)


def treatments(obs: pd.DataFrame, conditions: Conditions) -> tuple[Conditions, np.ndarray]:
    """Conditions at each of their doses, and which of them each cell got, int64 ``(cells,)``.

    They are the conditions themselves where no dose is registered. Controls have dose 0.

    Raises
    ------
    KeyError
        If the registered column is not there.
    ValueError
        If a perturbed cell has no dose, or a negative one.
    """
    key = conditions.screen.dose_key
    if key is None:
        return conditions, conditions.codes
    if key not in obs.columns:
        raise KeyError(f"`.obs` has no column {key!r}, which is registered as the dose.")
    is_control = conditions.is_control[conditions.codes]
    dose = np.where(is_control, 0, obs[key].to_numpy(np.float64))
    wrong = ~(np.isfinite(dose) & (dose >= 0))
    if wrong.any():
        raise ValueError(
            f"`.obs[{key!r}]` holds no dose, or a negative one, for {wrong.sum()} perturbed "
            f"cell(s): {listed(obs.index[wrong])}."
        )
    values, places = np.unique(dose, return_inverse=True)
    pairs, codes = np.unique(conditions.codes * len(values) + places, return_inverse=True)
    condition, place = np.divmod(pairs, len(values))
    return replace(conditions.take(condition), dose=values[place]), codes


class Mixture(NamedTuple):
    """Conditions at each of their doses.

    Attributes
    ----------
    conditions
        One row per condition and dose.
    of
        Place of the condition that a row belongs to, int64.
    share
        Its share among the cells of that condition, float64.
    """

    conditions: Conditions
    of: np.ndarray
    share: np.ndarray


def at_doses(
    wanted: Conditions, dose: float | None, observed: Conditions, obs: pd.DataFrame
) -> Mixture:
    """Conditions at a dose, or at the doses of their cells, in the same shares.

    Raises
    ------
    ValueError
        If no doses are registered and one is given, or if one is needed: a condition has no cells.
    """
    n = len(wanted)
    screen = wanted.screen
    if screen.dose_key is None and dose is not None:
        raise ValueError(
            f"`dose`={dose}, but the screen has no doses: register their column as `dose_key`."
        )
    if screen.dose_key is None:
        return Mixture(wanted, np.arange(n), np.ones(n))
    if dose is not None:
        if not (np.isfinite(dose) and dose >= 0):
            raise ValueError(f"`dose`={dose} must not be negative.")
        return Mixture(replace(wanted, dose=np.full(n, float(dose))), np.arange(n), np.ones(n))
    place = match_conditions(wanted.table, observed)
    if (place < 0).any():
        raise ValueError(
            f"{(place < 0).sum()} condition(s) have no cells whose doses could be taken: "
            f"{listed(wanted.index[place < 0])}. Pass the `dose`."
        )
    there, codes = treatments(obs, observed)
    n_cells = np.bincount(codes, minlength=len(there))
    condition = match_conditions(there.table, observed)
    rows = [np.flatnonzero(condition == p) for p in place]
    share = [n_cells[r] / n_cells[r].sum() for r in rows]
    of = np.repeat(np.arange(n), [len(r) for r in rows])
    doses = there.dose[np.concatenate(rows)] if there.dose is not None else None
    return Mixture(replace(wanted.take(of), dose=doses), of, np.concatenate(share))
