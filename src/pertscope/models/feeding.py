"""The perturbed cells of a part of a screen, in batches with matched controls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.keys import TRAIN, VAL
from pertscope._core.matrix import is_backed
from pertscope._core.messages import listed
from pertscope.data.matched_batches import MatchedBatches
from pertscope.data.matching import random_matching
from pertscope.data.perturbed_cells import HeldCells, StoredCells
from pertscope.data.rows import Rows

if TYPE_CHECKING:
    from pertscope._core.conditions import Conditions
    from pertscope.data.perturbed_cells import PerturbedCells

MATCHINGS = ("random", "transport")
MAX_HELD_CONTROLS = 20_000
"""Controls of a combination of covariates that are held, where the matrix lies on disk."""


def require_readable(x: Any, matching: str) -> None:
    """Refuse a matrix on disk that cannot be read by rows, and a matching that is unknown."""
    if matching not in MATCHINGS:
        raise ValueError(f"`matching`={matching!r} must be one of {list(MATCHINGS)}.")
    if is_backed(x) and getattr(x, "format", None) == "csc":
        raise ValueError(
            "the matrix on disk is stored by genes (CSC), training reads cells: write it as CSR, "
            "or load it with `adata.to_memory()`."
        )
    if is_backed(x) and matching == "transport":
        raise ValueError(
            "optimal transport needs the matrix in memory: load it with `adata.to_memory()`, or "
            "use `matching='random'`."
        )


def train_and_val(
    x: Any,
    conditions: Conditions,
    treatment: np.ndarray,
    part: np.ndarray,
    *,
    need_val: bool,
    of_effects: bool,
    batch_size: int,
    **how: Any,
) -> tuple[MatchedBatches, MatchedBatches | None]:
    """Batches of the train and val parts; other arguments as in :func:`matched_batches`.

    Parameters
    ----------
    part
        Part of each cell.
    need_val
        Whether a val part must be there.
    of_effects
        Whether the rows are effects: of their controls there is one row.

    Raises
    ------
    ValueError
        If one has no perturbed cells that is needed.
    """
    feed = partial(matched_batches, x if is_backed(x) else Rows(x), conditions, treatment)
    train = feed(part == TRAIN, batch_size=batch_size, shuffle=True, **how)
    if train is None:
        raise ValueError("the train part holds no perturbed cells.")
    chosen = _val_of_effects(conditions, part) if of_effects else part == VAL
    val = feed(chosen, batch_size=max(batch_size, 1024), shuffle=False, **how)
    if val is None and need_val:
        raise ValueError(
            "early stopping needs perturbed cells in 'val': split again, or pass "
            "`early_stopping=False` with the `max_epochs` that you want."
        )
    return train, val


def _val_of_effects(conditions: Conditions, part: np.ndarray) -> np.ndarray:
    """Rows of val, and training controls where it has none of its own, bool ``(rows,)``."""
    chosen: np.ndarray = part == VAL
    is_control, context = conditions.is_control[conditions.codes], conditions.context
    own = np.zeros(len(conditions.contexts), dtype=bool)
    own[context[conditions.codes[chosen & is_control]]] = True
    return chosen | (is_control & (part == TRAIN) & ~own[context[conditions.codes]])


def matched_batches(
    x: Any,
    conditions: Conditions,
    treatment: np.ndarray,
    chosen: np.ndarray,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int,
    n_controls: int = 1,
    matching: str = "random",
    of_counts: bool = False,
    representation: np.ndarray | None = None,
) -> MatchedBatches | None:
    """Batches of the perturbed among the chosen cells, matched to chosen controls.

    Parameters
    ----------
    x
        Cells x genes: rows in memory, or the matrix on disk.
    conditions
        Conditions of the cells.
    treatment
        What each cell got: its condition, or its condition and dose, int64 ``(cells,)``.
    chosen
        Cells of this part, bool ``(cells,)``.
    of_counts
        Whether expression is counts.
    representation
        What an encoder sees of each cell, where that is not its expression.

    Returns
    -------
    ``None`` where no perturbed cell is chosen.
    """
    cells = np.flatnonzero(chosen & ~conditions.is_control[conditions.codes])
    if len(cells) == 0:
        return None
    codes = conditions.codes[cells]
    rng = np.random.default_rng(seed)
    controls = _controls(conditions, codes, chosen, rng, few=not isinstance(x, Rows))
    perturbed: PerturbedCells
    if isinstance(x, Rows):
        rows = x
        perturbed = HeldCells(rows, cells)
    else:
        rows = Rows(x, held=np.unique(np.concatenate(list(controls.values()))))
        perturbed = StoredCells(x, cells)
    if matching == "transport":
        from pertscope.data.transport_matching import transport_matching

        # of counts, the largest differences would be those of depth
        matched = transport_matching(
            np.log1p(rows.x) if of_counts else rows.x, cells, codes, controls, seed=seed
        )
    else:
        matched = random_matching(codes, controls)
    return MatchedBatches(
        perturbed,
        treatment[cells],
        rows,
        matched,
        representation=None if representation is None else Rows(representation),
        n_controls=n_controls,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
    )


def _controls(
    conditions: Conditions,
    codes: np.ndarray,
    chosen: np.ndarray,
    rng: np.random.Generator,
    *,
    few: bool,
) -> dict[int, np.ndarray]:
    """Rows of the chosen controls of each condition; with `few`, no more than can be held."""
    of = {int(c): int(conditions.control_of[c]) for c in np.unique(codes)}
    rows = {c: np.flatnonzero(chosen & (conditions.codes == c)) for c in sorted(set(of.values()))}
    lost = [conditions.index[c] for c, control in of.items() if len(rows[control]) == 0]
    if lost:
        raise ValueError(
            f"{len(lost)} condition(s) have no controls in their part of the split: {listed(lost)}."
        )
    if few:
        rows = {
            c: r
            if len(r) <= MAX_HELD_CONTROLS
            else np.sort(rng.choice(r, MAX_HELD_CONTROLS, replace=False))
            for c, r in rows.items()
        }
    return {c: rows[control] for c, control in of.items()}
