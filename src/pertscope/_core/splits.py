"""Turn a choice of held-out conditions into a validated, recorded split of the cells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.messages import listed
from pertscope._core.screen import require_actual

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions

UNUSED = ""
"""Part of a condition that belongs to no part."""

CONDITIONS, PERTURBATIONS, CONTEXTS = "conditions", "perturbations", "contexts"
"""What can be held out: some conditions; perturbations everywhere; combinations of covariates."""

HOLDS_OUT = "holds_out"
"""Entry of a split's record that says which of these it holds out."""


def halves(held_out: np.ndarray, strata: np.ndarray, rng: np.random.Generator) -> dict[int, str]:
    """Send held-out conditions to val and test, half and half within each stratum and overall."""
    part: dict[int, str] = {}
    for stratum in np.unique(strata[held_out]):
        for i in rng.permutation(held_out[strata[held_out] == stratum]):
            part[int(i)] = keys.TEST if len(part) % 2 == 0 else keys.VAL
    return part


def write_split(
    adata: AnnData,
    conditions: Conditions,
    parts: dict[int, str],
    *,
    train_control_fraction: float,
    seed: int,
    how: dict[str, Any],
    held_out: str = CONDITIONS,
) -> None:
    """Split the cells by condition, the controls at random, and write the split.

    Parameters
    ----------
    parts
        Part of each condition that is not in train; :data:`UNUSED` for conditions in no part.
    train_control_fraction
        Share of each combination of covariates' controls in train, at least one; val and test halve
        the rest.
    how
        What is recorded beside the split.
    held_out
        What is held out, as :func:`validate_split` takes it.
    """
    cells = part_of_cells(
        conditions, parts, train_control_fraction=train_control_fraction, seed=seed
    )
    write_cells(adata, conditions, cells, how | {"seed": seed}, held_out=held_out)


def part_of_cells(
    conditions: Conditions, parts: dict[int, str], *, train_control_fraction: float, seed: int
) -> np.ndarray:
    """Part of each cell, object ``(cells,)``; parameters as in :func:`write_split`."""
    check_fraction(train_control_fraction, "train_control_fraction")
    of_condition = np.full(len(conditions), keys.TRAIN, dtype=object)
    for i, part in parts.items():
        of_condition[i] = part
    cells = of_condition[conditions.codes]
    rng = np.random.default_rng([seed, 1])  # apart from the draw of conditions
    for control in np.flatnonzero(conditions.is_control & (of_condition != UNUSED)):
        rows = rng.permutation(np.flatnonzero(conditions.codes == control))
        n_train = max(1, round(len(rows) * train_control_fraction))
        n_val = (len(rows) - n_train) // 2 if keys.VAL in of_condition else 0
        cells[rows[n_train:]] = keys.TEST
        cells[rows[n_train : n_train + n_val]] = keys.VAL
    return cells


def write_cells(
    adata: AnnData,
    conditions: Conditions,
    cells: np.ndarray,
    how: dict[str, Any],
    *,
    held_out: str = CONDITIONS,
) -> None:
    """Validate the part of each cell, then write, record and print the split."""
    validate_split(conditions, cells, held_out=held_out)
    screen = conditions.screen
    split_key = keys.check_key(screen.split_key, "split_key")
    require_actual(adata)
    values = pd.Categorical(cells, categories=list(keys.PARTS))  # UNUSED is none: missing
    adata.obs[split_key] = values
    record = adata.uns.setdefault(keys.UNS, {}).setdefault(keys.SPLITS, {})
    record[split_key] = json.dumps(how | {HOLDS_OUT: held_out}, default=str)
    print(summary(conditions, cells).to_string())


def validate_split(
    conditions: Conditions, cells: np.ndarray, *, held_out: str = CONDITIONS
) -> None:
    """Refuse a split that leaks, asks for the impossible, or has an empty part.

    Where perturbations are held out everywhere, or all that a combination of covariates holds, val
    may be empty, and val and test need no controls of their own.

    Raises
    ------
    ValueError
        If a part is empty; if cells of one condition lie on both sides; if a held-out condition
        applies a perturbation that no training condition applies or, where perturbations are held
        out, none but such as an earlier part applies; if contexts are held out, and one lies in
        test and elsewhere; if a part has no controls for one of its combinations of covariates.
    """
    present = {
        part: np.bincount(conditions.codes[cells == part], minlength=len(conditions)) > 0
        for part in keys.PARTS
    }
    perturbed = ~conditions.is_control
    whole = held_out != CONDITIONS
    for part in (keys.TRAIN, keys.TEST) if whole else keys.PARTS:
        if not (present[part] & perturbed).any():
            raise ValueError(f"the split leaves no perturbed condition in {part!r}.")
    for a, b in ((keys.TRAIN, keys.VAL), (keys.TRAIN, keys.TEST), (keys.VAL, keys.TEST)):
        both = present[a] & present[b] & perturbed
        if both.any():
            raise ValueError(
                f"{int(both.sum())} condition(s) have cells in {a!r} and in {b!r}: "
                f"{listed(conditions.index[both])}. A condition belongs to one part."
            )
    if held_out == PERTURBATIONS:
        _require_unseen(conditions, present)
    else:
        _require_seen(conditions, present)
    if held_out == CONTEXTS:
        _require_other_contexts(conditions, present)
    for part in (keys.TRAIN,) if whole else keys.PARTS:
        needed = np.unique(conditions.matched_controls(np.flatnonzero(present[part] & perturbed)))
        lost = [conditions.index[i] for i in needed if not present[part][i]]
        if lost:
            raise ValueError(f"{part!r} has no control cells for {listed(lost)}.")


def _require_seen(conditions: Conditions, present: dict[str, np.ndarray]) -> None:
    """All that val and test apply is applied in train."""
    known = _applies_only(conditions, present[keys.TRAIN])
    for part in (keys.VAL, keys.TEST):
        unseen = conditions.index[present[part] & ~known]
        if len(unseen):
            raise ValueError(
                f"{len(unseen)} condition(s) in {part!r} apply a perturbation that no training "
                f"condition applies: {listed(unseen)}."
            )


def _require_other_contexts(conditions: Conditions, present: dict[str, np.ndarray]) -> None:
    """No combination of covariates in test has perturbed conditions in train or val."""
    tested, *others = (
        set(conditions.context[present[part] & ~conditions.is_control].tolist())
        for part in (keys.TEST, keys.TRAIN, keys.VAL)
    )
    both = sorted(tested & set().union(*others))
    if both:
        names = listed("|".join(conditions.contexts[i]) for i in both)
        raise ValueError(f"{names} have perturbed conditions in 'test' and elsewhere.")


def _require_unseen(conditions: Conditions, present: dict[str, np.ndarray]) -> None:
    """All conditions of val apply something that train does not, of test what neither does."""
    earlier = present[keys.TRAIN]
    for part in (keys.VAL, keys.TEST):
        known = _applies_only(conditions, earlier) & ~conditions.is_control
        seen = conditions.index[present[part] & known]
        if len(seen):
            raise ValueError(
                f"{len(seen)} condition(s) in {part!r} apply no perturbation that is unseen: "
                f"{listed(seen)}."
            )
        earlier = earlier | present[part]


def _applies_only(conditions: Conditions, there: np.ndarray) -> np.ndarray:
    """Whether a condition applies nothing but what those that are there apply, bool."""
    seen = {p for i in np.flatnonzero(there) for p in conditions.components[i]}
    return np.array([seen.issuperset(parts) for parts in conditions.components], dtype=bool)


def summary(conditions: Conditions, cells: np.ndarray) -> pd.DataFrame:
    """Conditions, perturbations and cells in each part."""
    rows = {}
    for part in (*keys.PARTS, UNUSED):
        codes = conditions.codes[cells == part]
        present = np.unique(codes)
        perturbed = present[~conditions.is_control[present]]
        n_controls = int(conditions.is_control[codes].sum())
        if part != UNUSED or len(codes):
            rows[part or "unused"] = {
                "conditions": len(perturbed),
                "combinations": int(conditions.is_combination[perturbed].sum()),
                "covariates": len(np.unique(conditions.context[perturbed])),
                "cells": len(codes) - n_controls,
                "controls": n_controls,
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(conditions.screen.split_key)


def check_fraction(value: float, what: str) -> None:
    """Refuse a share that is not above 0 and at most 1."""
    if not 0 < value <= 1:
        raise ValueError(f"`{what}`={value} must be above 0 and at most 1.")


def split_of(adata: AnnData, conditions: Conditions) -> np.ndarray:
    """Part of each cell as written in ``.obs``, object ``(cells,)``; ``UNUSED`` where none."""
    key = conditions.screen.split_key
    if key not in adata.obs.columns:
        raise KeyError(
            f"`.obs` has no split {key!r}: call one of `ps.pp.split_transfer`, "
            "`split_combinations`, `split_inverse_combinations`, `split_custom`, `split_unseen`, "
            "`split_contexts`, `split_from_csv`."
        )
    column = adata.obs[key]
    values = column.astype(object).where(column.notna(), UNUSED).to_numpy(dtype=object, copy=True)
    unknown = set(values) - {*keys.PARTS, UNUSED}
    if unknown:
        raise ValueError(
            f"`.obs[{key!r}]` holds {listed(unknown)}; a split holds {listed(keys.PARTS)}."
        )
    return values
