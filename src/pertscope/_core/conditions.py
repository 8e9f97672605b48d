"""Conditions of a screen: one perturbation in one combination of covariates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core.messages import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

    from pertscope._core.screen import Screen


@dataclass(frozen=True)
class Conditions:
    """The conditions of the rows of a table.

    Attributes
    ----------
    table
        One row per condition, sorted: covariate columns, then the perturbation, as strings.
    codes
        Condition of each row of the table they were read from, int64 ``(cells,)``.
    screen
        What the columns mean.
    dose
        Dose of each condition, float64 ``(conditions,)``, where conditions are told apart by it.
    """

    table: pd.DataFrame
    codes: np.ndarray
    screen: Screen
    dose: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def labels(self) -> np.ndarray:
        """Perturbation label of each condition, object ``(conditions,)``."""
        return self.table[self.screen.perturbation_key].to_numpy(dtype=object)

    @cached_property
    def components(self) -> list[tuple[str, ...]]:
        """Perturbations that each condition applies."""
        return [self.screen.components(label) for label in self.labels]

    @cached_property
    def is_control(self) -> np.ndarray:
        """Whether it is a control, bool ``(conditions,)``."""
        return self.labels == self.screen.control

    @cached_property
    def is_combination(self) -> np.ndarray:
        """Whether it is more than one perturbation at once, bool ``(conditions,)``."""
        return np.array([len(c) > 1 for c in self.components], dtype=bool)

    @cached_property
    def context(self) -> np.ndarray:
        """Combination of covariates of each condition, int64 ``(conditions,)``."""
        keys = list(self.screen.covariate_keys)
        if not keys:
            return np.zeros(len(self), np.int64)
        return self.table.groupby(keys, sort=True, observed=True).ngroup().to_numpy(np.int64)

    @cached_property
    def contexts(self) -> list[tuple[str, ...]]:
        """Covariate values of each combination of covariates, in the order of :attr:`context`."""
        keys = list(self.screen.covariate_keys)
        first = np.unique(self.context, return_index=True)[1]
        return [tuple(row) for row in self.table[keys].to_numpy(dtype=object)[first]]

    @cached_property
    def control_of(self) -> np.ndarray:
        """Row of the matched control of each condition, int64 ``(conditions,)``; -1 where none."""
        control = np.full(self.context.max(initial=-1) + 1, -1)
        control[self.context[self.is_control]] = np.flatnonzero(self.is_control)
        return control[self.context]

    def matched_controls(self, conditions: np.ndarray) -> np.ndarray:
        """Row of the matched control of each of these conditions, int64.

        Raises
        ------
        ValueError
            If one has none: its controls were dropped after the screen was registered.
        """
        rows = self.control_of[conditions]
        lost = np.unique(self.context[conditions][rows < 0])
        if lost.size:
            names = listed("|".join(self.contexts[i]) for i in lost)
            where = f" for {names}" if self.screen.covariate_keys else ""
            raise ValueError(
                f"the screen has no {self.screen.control!r} cells{where} any more: keep the "
                "matched controls when you subset it."
            )
        return rows

    @cached_property
    def index(self) -> pd.Index:
        """Names of the conditions: ``"k562|A+B"``."""
        parts = self.table.to_numpy(dtype=object)
        return pd.Index(["|".join(map(str, row)) for row in parts], dtype=object)

    @property
    def n_cells(self) -> np.ndarray:
        """Rows per condition, int64 ``(conditions,)``."""
        return np.bincount(self.codes, minlength=len(self))

    def take(self, chosen: np.ndarray) -> Conditions:
        """Some of the conditions, one row each."""
        table = self.table.iloc[chosen].reset_index(drop=True)
        dose = None if self.dose is None else self.dose[chosen]
        return Conditions(table, np.arange(len(table)), self.screen, dose)


def conditions_of(obs: pd.DataFrame, screen: Screen) -> Conditions:
    """Read the conditions of the rows of `obs`.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If a label is missing.
    """
    columns = {key: label_column(obs, key) for key in screen.condition_keys}
    codes, n = np.zeros(len(obs), dtype=np.int64), 1
    for column in columns.values():  # categories are sorted, and so are pairs of them
        n_labels = len(column.categories)
        codes, n = _renumbered(codes * n_labels + column.codes, n * n_labels)
    row = np.empty(n, dtype=np.int64)
    row[codes] = np.arange(len(codes))  # any row of a condition has its labels
    table = pd.DataFrame({key: np.asarray(column[row]) for key, column in columns.items()})
    table = table.astype(str)
    return Conditions(table, codes, screen)


def _renumbered(codes: np.ndarray, n: int) -> tuple[np.ndarray, int]:
    """Codes below `n` without gaps, in the same order, and how many there are."""
    if n > 4 * len(codes):
        found, codes = np.unique(codes, return_inverse=True)
        return codes, len(found)
    there = np.bincount(codes, minlength=n) > 0
    return (np.cumsum(there) - 1)[codes], int(there.sum())


def label_column(obs: pd.DataFrame, key: str) -> pd.Categorical[Any]:
    """Column `key` as a categorical of strings, without unused categories."""
    if key not in obs.columns:
        raise KeyError(f"`.obs` has no column {key!r}; {nearest(key, obs.columns)}.")
    column = obs[key]
    missing = int(column.isna().sum())
    if missing:
        raise ValueError(
            f"`.obs[{key!r}]` has {missing} missing label(s), first at "
            f"{listed(obs.index[column.isna()], 1)}: "
            "drop or label these rows first."
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        values = column.cat.remove_unused_categories().array
        names = values.categories.astype(str)
        if names.is_unique:
            order = np.argsort(names.to_numpy(dtype=object))
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order))
            return pd.Categorical.from_codes(rank[values.codes], categories=names[order])
    return pd.Categorical(column.astype(str))


def match_conditions(wanted: pd.DataFrame, conditions: Conditions) -> np.ndarray:
    """Row in `conditions` of each row of `wanted`; -1 where it is not among them.

    Combinations match whatever the order of their parts: ``A+B`` is ``B+A``.
    """
    place = {k: i for i, k in enumerate(_names(conditions.table, conditions.screen))}
    return np.array([place.get(k, -1) for k in _names(wanted, conditions.screen)], dtype=np.int64)


def _names(table: pd.DataFrame, screen: Screen) -> list[tuple[object, ...]]:
    covariates = [table[k].astype(str) for k in screen.covariate_keys]
    parts = [screen.components(label) for label in table[screen.perturbation_key].astype(str)]
    return list(zip(*covariates, parts, strict=True))


def ambiguous_labels(labels: Iterable[str], screen: Screen) -> list[tuple[str, str]]:
    """Pairs of labels that name the same perturbation, such as ``A+B`` and ``B+A``."""
    first: dict[tuple[str, ...], str] = {}
    return [
        (first[parts], label)
        for label in labels
        if (parts := screen.components(label)) in first or first.setdefault(parts, label) != label
    ]


def screen_conditions(adata: AnnData, screen: Screen) -> Conditions:
    """Conditions of the cells of a registered screen."""
    return conditions_of(adata.obs, screen)
