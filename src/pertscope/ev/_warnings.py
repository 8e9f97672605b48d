"""What a table of scores does not show, said when it is made."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.messages import listed
from pertscope.ev import _bounds as bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pertscope._core.conditions import Conditions
    from pertscope.ev._comparison import Comparison, Options
    from pertscope.ev._score import Chosen
    from pertscope.ev._side import Side


def warn_unlike(
    compared: Sequence[tuple[str, np.ndarray, Comparison]],
    chosen: Sequence[Chosen],
    options: Options,
    split: str | None,
) -> None:
    """Say where means of predictions are not of the same conditions, or not of as many cells.

    What a prediction lacks of a part of a split was said already.
    """
    numbers = {name: len(rows) for name, rows, _ in compared}
    if split is None and len({rows.tobytes() for _, rows, _ in compared}) > 1:
        warnings.warn(
            "predictions are judged over different conditions, their means cannot be compared: "
            f"{listed(f'{name} over {n}' for name, n in numbers.items())}.",
            UserWarning,
            stacklevel=4,
        )
    distances = [] if options.unbiased else [c for c in chosen if bounds.falls_with_cells(c)]
    n_cells = {
        name: np.median(np.minimum(_n_rows(c.predicted), options.max_cells))
        for name, _, c in compared
        if c.predicted.has_cells
    }
    if distances and n_cells and max(n_cells.values()) > 2 * min(n_cells.values()):
        warnings.warn(
            f"{listed(f'{metric}_{space}' for metric, space in distances)} are larger for fewer "
            f"cells, and predictions have {listed(f'{name} {n:g}' for name, n in n_cells.items())} "
            "per condition: predict as many of each, or call "
            "`ps.ev.distribution_metrics(adata, unbiased=True)`.",
            UserWarning,
            stacklevel=4,
        )


def _n_rows(side: Side) -> np.ndarray:
    codes = side.populations.codes
    return np.bincount(codes[codes >= 0], minlength=side.populations.n_groups)[side.groups]


def warn_alone(compared: Sequence[Conditions], chosen: Sequence[Chosen]) -> None:
    """Name the conditions that a prediction has alone of their covariates."""
    alone: dict[str, None] = {}
    for conditions in compared:
        context = conditions.context
        alone |= dict.fromkeys(conditions.index[np.bincount(context)[context] == 1])
    if alone and any("rank" in m or "discrimination" in m for m, _ in chosen):
        warnings.warn(
            f"{len(alone)} condition(s) cannot be ranked, each is the only one of its "
            f"covariates: {listed(alone)}.",
            UserWarning,
            stacklevel=4,
        )
