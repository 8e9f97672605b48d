"""Bring the annotation of a downloaded screen to the names that the registry promises.

A rule is a mapping with ``column``, optionally ``to`` (the column that it writes, the same one by
default), and what to do, in this order:

``map``      whole labels to other labels
``replace``  parts of labels, literally
``pattern``  parts of labels, regular expressions
``keep``     keep only the cells with these labels
``drop``     leave out the cells with these labels; ``null`` stands for a missing label
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ACTIONS = ("map", "replace", "pattern", "keep", "drop")
KEPT_SUFFIX = "_original"


def apply_rules(
    obs: pd.DataFrame, rules: Sequence[Mapping[str, Any]]
) -> tuple[pd.DataFrame, npt.NDArray[np.bool_]]:
    """Rewrite `obs` and choose its cells.

    Returns
    -------
    A new table with all cells, ``(n_cells, ...)``, and which cells to keep, ``(n_cells,)``.
    A column that is overwritten stays as ``"<column>_original"``, as it was before the first rule.

    Raises
    ------
    KeyError
        If a rule names a column that `obs` does not have.
    ValueError
        If a rule holds an unknown action.
    """
    obs = obs.copy()
    keep = np.ones(len(obs), dtype=bool)
    for rule in rules:
        unknown = set(rule) - {"column", "to", *ACTIONS}
        if unknown:
            raise ValueError(f"unknown rule {sorted(unknown)}: known are column, to, {ACTIONS}.")
        column = rule["column"]
        if column not in obs:
            raise KeyError(f"no column {column!r} in obs; columns: {', '.join(map(str, obs))}.")
        target = rule.get("to", column)
        if target != column or any(rule.get(action) for action in ("map", "replace", "pattern")):
            renamed = _relabel(obs[column], _translation(rule))
            if target in obs and target + KEPT_SUFFIX not in obs:
                obs[target + KEPT_SUFFIX] = obs[target]
            obs[target] = renamed
        labels = obs[target]
        if rule.get("keep"):
            keep &= _isin(labels, rule["keep"])
        if rule.get("drop"):
            keep &= ~_isin(labels, rule["drop"])
    return obs, keep


def _translation(rule: Mapping[str, Any]) -> Callable[[str], str]:
    """What a rule makes of one label."""
    mapping = rule.get("map") or {}
    literal = rule.get("replace") or {}
    patterns = {re.compile(k): v for k, v in (rule.get("pattern") or {}).items()}

    def translate(label: str) -> str:
        label = str(mapping.get(label, label))
        for old, new in literal.items():
            label = label.replace(old, new)
        for pattern, new in patterns.items():
            label = pattern.sub(new, label)
        return label

    return translate


def _relabel(column: pd.Series, translate: Callable[[str], str]) -> pd.Categorical[str]:
    """Translate the few distinct labels instead of every cell; missing labels stay missing."""
    codes, old = pd.factorize(column.astype(object))
    new = [translate(str(label)) for label in old]
    categories = sorted(set(new))
    position = {label: i for i, label in enumerate(categories)}
    # Code -1, a missing label, picks the extra last element.
    lookup = np.array([*(position[label] for label in new), -1], dtype=np.int64)
    return pd.Categorical.from_codes(lookup[codes], pd.Index(categories))


def _isin(column: pd.Series, labels: Sequence[str | None]) -> npt.NDArray[np.bool_]:
    """Which cells have one of `labels`, ``None`` meaning a missing one."""
    wanted = {str(label) for label in labels if label is not None}
    missing = column.isna().to_numpy()
    found = column.astype(str).isin(wanted).to_numpy() & ~missing
    return found | missing if None in labels else found
