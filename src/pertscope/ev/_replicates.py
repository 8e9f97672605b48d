"""Replicates of an experiment made of its own cells: what the best possible score would be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pertscope.ev._comparison import Comparison
from pertscope.ev._populations import Populations
from pertscope.ev._side import Side

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pertscope.ev._comparison import Options
    from pertscope.ev._judged import Judged


def split_halves(judged: Judged, options: Options, *, draw: int, own_controls: bool) -> Comparison:
    """One half of the cells of every condition, and of its controls, against the other half.

    Halves share no cell and have equal sizes; of an odd number one cell is left out. A condition
    or control of one cell has no halves: its values are NaN.
    """
    side, of = judged.side, judged.side.populations
    half = np.full(len(of.codes), -1, np.int64)
    for group in np.union1d(side.groups, side.control_groups):
        # a stream per group: halves do not depend on which other conditions are judged
        rows = np.random.default_rng([options.seed, 0, draw, group]).permutation(of.rows(group))
        n = len(rows) // 2
        half[rows[:n]] = 2 * group
        half[rows[n : 2 * n]] = 2 * group + 1
    halves = of.regroup(half, 2 * of.n_groups)

    def one(which: int) -> Side:
        groups = 2 * side.groups + which
        if own_controls:
            return Side(halves, groups, halves, 2 * side.control_groups + which)
        return Side(halves, groups, of, side.control_groups)

    first, second = one(0), one(1)
    options = replace(options, min_cells=(options.min_cells + 1) // 2)  # so are those of a batch
    return Comparison(judged.conditions, first, second, judged.reference, options)


def resample(judged: Judged, options: Options, *, draw: int, own_controls: bool) -> Comparison:
    """A bootstrap sample of the cells of every condition, and of its controls, against all."""
    of = judged.side.populations
    repeats = np.zeros(len(of.codes), np.int64)
    for group in np.union1d(judged.side.groups, judged.side.control_groups):
        rows = of.rows(group)
        rng = np.random.default_rng([options.seed, 1, draw, group])
        np.add.at(repeats, rng.choice(rows, len(rows)), 1)
    return _against_observed(judged, options, repeats, own_controls)


def resample_batches(
    judged: Judged, options: Options, *, draw: int, own_controls: bool, n_inner: int
) -> Iterator[Comparison]:
    """Bootstrap samples of batches, and of cells within them, against all cells.

    Batches are drawn once, and are the same for every condition and its controls; cells within them
    `n_inner` times: one outer draw of the hierarchical bootstrap of Cole et al., section 4.7.1. Of
    n cells that a condition has in a batch, which was drawn k times, k n are drawn; a mean over
    batches counts it k times. Samples are made one after the other: each has moments of its own.
    """
    side, of, batch = judged.side, judged.side.populations, judged.side.populations.batch
    if batch is None:
        raise ValueError(
            "the hierarchical bootstrap draws batches, and the screen has none: register it with "
            "`batch_key=...`, or use method='bootstrap'."
        )
    rng = np.random.default_rng([options.seed, 2, draw])
    present = np.unique(batch[of.codes >= 0])
    drawn = np.bincount(rng.choice(present, len(present)), minlength=int(batch.max()) + 1)
    rows = np.flatnonzero(np.isin(of.codes, np.union1d(side.groups, side.control_groups)))
    rows = rows[np.lexsort((batch[rows], of.codes[rows]))]
    here, group = batch[rows], of.codes[rows]
    is_first = np.append(True, (here[1:] != here[:-1]) | (group[1:] != group[:-1]))
    first = np.flatnonzero(is_first)
    size = np.diff(first, append=len(rows))
    times = size * drawn[here[first]]
    first, size = np.repeat(first, times), np.repeat(size, times)
    for _ in range(n_inner):
        chosen = rows[first + rng.integers(size)]
        repeats = np.bincount(chosen, minlength=len(of.codes))
        yield _against_observed(judged, options, repeats, own_controls, drawn)


def _against_observed(
    judged: Judged,
    options: Options,
    repeats: np.ndarray,
    own_controls: bool,
    drawn: np.ndarray | None = None,
) -> Comparison:
    side, of = judged.side, judged.side.populations
    sample = Populations(of.matrix, of.codes, of.n_groups, of.genes, repeats, of.batch, drawn)
    controls = sample if own_controls else of
    replicate = Side(sample, side.groups, controls, side.control_groups)
    return judged.compare(replicate, options)
