"""Labels of genes by the majority of batches, so that no batch speaks for another."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.deg_labels import deg_labels, majority_labels
from pertscope._core.messages import listed
from pertscope._core.moments import Moments
from pertscope._core.t_test import VARIANTS
from pertscope.ev._gene_tests import t_test_against

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pertscope.ev._comparison import Comparison, Options
    from pertscope.ev._judged import Judged
    from pertscope.ev._score import Chosen
    from pertscope.ev._side import Side

POOLED, MAJORITY = "pooled", "batch-majority"
LABELLINGS = (POOLED, MAJORITY)
OF_LABELS = ("deg_f1", "deg_f1_per_gene")
"""Metrics that compare labels."""


def check_batches(judged: Judged, chosen: Sequence[Chosen], options: Options) -> None:
    """Refuse labels by batches where there are none; name conditions that have no label.

    Raises
    ------
    ValueError
        If the screen has no batches, the test is none of means, or no batch has enough cells.
    """
    if options.deg_labels not in LABELLINGS:
        raise ValueError(f"`deg_labels`={options.deg_labels!r} must be one of {LABELLINGS}.")
    if options.deg_labels == POOLED:
        return
    if options.min_cells < 2:
        raise ValueError(f"`min_cells`={options.min_cells} must be at least 2: a test needs two.")
    if judged.side.populations.batch is None:
        raise ValueError(
            f"deg_labels={MAJORITY!r} takes the majority of batches, and the screen has none: "
            f"register it with `batch_key=...`, or use {POOLED!r}."
        )
    tests = {statistic for metric, statistic in chosen if metric in OF_LABELS}
    if tests - set(VARIANTS):
        raise ValueError(
            f"deg_labels={MAJORITY!r} is by one of the tests {VARIANTS}, not by "
            f"{listed(sorted(tests - set(VARIANTS)))}."
        )
    if not tests:
        return
    labelled = _valid(judged.side, options.min_cells).any(axis=0)
    enough = f"{options.min_cells} cells, and as many controls, in one batch"
    if not labelled.any():
        raise ValueError(
            f"no condition has {enough}: lower `min_cells`, or use deg_labels={POOLED!r}."
        )
    if not labelled.all():
        warnings.warn(
            f"{np.count_nonzero(~labelled)} condition(s) do not have {enough}, their DEG labels "
            f"are unknown: {listed(judged.conditions.index[~labelled])}.",
            UserWarning,
            stacklevel=4,
        )


def labels_by_batches(
    comparison: Comparison, side: Side, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of one side of a comparison, int8 ``(p, G)``, and which it has, bool ``(p,)``.

    Every gene is tested in every batch against the controls of that batch, and the majority of the
    batches wins. A prediction has no batches: its effect is tested in each batch of the
    observation, on top of the controls there, with the number of cells observed there.
    """

    def compute() -> tuple[np.ndarray, np.ndarray]:
        options = comparison.options
        is_prediction = side.populations.batch is None
        cells = comparison.observed if is_prediction else side
        valid = _valid(cells, options.min_cells)
        labels = np.zeros((*valid.shape, len(comparison.genes)), np.int8)
        for batch, rows in enumerate(map(np.flatnonzero, valid)):
            if len(rows):
                found, control = _in_batch(cells, batch, rows, options.min_cells)
                if is_prediction:
                    found = _on_top(side, rows, found.n, control)
                test = t_test_against(found, control, method)
                labels[batch, rows] = deg_labels(test.score, test.p_adjusted, options.alpha)
        known = np.any(valid, axis=0)
        majority = np.zeros(labels.shape[1:], np.int8)
        majority[known] = majority_labels(labels[:, known], valid[:, known])
        return majority, np.asarray(known)

    return side.once(("batch labels", method), compute)


def _valid(side: Side, min_cells: int) -> np.ndarray:
    """In which batches a condition and its controls have enough cells, bool ``(batches, p)``."""
    place = side.populations.by_batch(min_cells).place[side.groups]
    control_place = side.controls.by_batch(min_cells).place[side.control_groups]
    return ((place >= 0) & (control_place >= 0)).T


def _in_batch(side: Side, batch: int, rows: np.ndarray, min_cells: int) -> tuple[Moments, Moments]:
    """Moments in one batch of some conditions that are valid there, and of their controls."""
    populations, controls = side.populations.by_batch(min_cells), side.controls.by_batch(min_cells)
    return (
        populations.moments[populations.place[side.groups[rows], batch]],
        controls.moments[controls.place[side.control_groups[rows], batch]],
    )


def _on_top(side: Side, rows: np.ndarray, n: np.ndarray, control: Moments) -> Moments:
    """Moments that the effects of a prediction have on top of some controls, in n cells."""
    effect = side.moments.mean[rows] - side.control_moments.mean[rows]
    variance = side.moments.variance[rows] if side.has_cells else control.variance
    return Moments(n, control.mean + effect, variance * n[:, None])
