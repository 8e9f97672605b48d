"""Floor and ceiling of any metric: the same metric, of a guess and of a replicate."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope.ev._floors import floors
from pertscope.ev._metrics import METRICS
from pertscope.ev._replicates import resample, resample_batches, split_halves
from pertscope.ev._score import lay_out, places, score
from pertscope.ev._statistics import OF_CELLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pertscope.ev._comparison import Comparison, Options
    from pertscope.ev._judged import Judged
    from pertscope.ev._score import Chosen, Scores

    Step = Callable[[str], object]

SPLIT_HALF, BOOTSTRAP, HIERARCHICAL = "split-half", "bootstrap", "hierarchical-bootstrap"
METHODS = (SPLIT_HALF, BOOTSTRAP, HIERARCHICAL)
NO_FLOOR = "none"
"""Name of the floor of a metric that has none."""

QUANTILE = 0.9
"""Of bootstrap replicates: an error is within the experiment's if it is below this quantile."""


def require_rows(judged: Judged) -> None:
    """Refuse conditions of one row each, of which every replicate would be the same."""
    if judged.all_conditions.n_cells[judged.rows].max() < 2:
        raise ValueError(
            "no condition has two rows, there is nothing to replicate: compute the ceiling on the "
            "cells, `ps.ev.ceiling(cells)`, not on the effects made of them."
        )


def best_floor(
    judged: Judged, chosen: Sequence[Chosen], options: Options, *, step: Step
) -> tuple[Scores, dict[Chosen, str]]:
    """Scores of the best uninformed guess, and which guess it is.

    The best is the one with the best mean over all values of a metric; for metrics that need cells,
    of those guesses that are made of cells. A metric without a better has no floor: NaN.
    """
    found: dict[str, Scores] = {}
    for of_cells in (False, True):
        wanted = [c for c in chosen if needs_cells(c) == of_cells and _direction(c)]
        if not wanted:
            continue
        for name, side in floors(judged, of_cells=of_cells, seed=options.seed).items():
            scores = score(judged.compare(side, options), wanted, step=step)
            found.setdefault(name, {}).update(scores)
    values: Scores = {}
    of: dict[Chosen, str] = {}
    for c in chosen:
        means = {name: _direction(c) * _mean(s[c]) for name, s in found.items() if c in s}
        known = {name: mean for name, mean in means.items() if not np.isnan(mean)}
        of[c] = max(known, key=known.__getitem__) if known else NO_FLOOR
        values[c] = found[of[c]][c] if known else np.full(_n_values(judged, c), np.nan)
    return values, of


def _direction(chosen: Chosen) -> int:
    """1 where higher is better, -1 where lower is, 0 where neither is."""
    return {True: 1, False: -1, None: 0}[METRICS[chosen[0]].higher_is_better]


def _n_values(judged: Judged, chosen: Chosen) -> int:
    return len(lay_out(judged.conditions, METRICS[chosen[0]].level))


def needs_cells(chosen: Chosen) -> bool:
    """Whether a metric on a statistic wants cells, and not only their means."""
    metric, statistic = chosen
    return METRICS[metric].needs == "cells" or statistic in OF_CELLS


def falls_with_cells(chosen: Chosen) -> bool:
    """Whether a distance of populations that are the same is larger for fewer cells."""
    return needs_cells(chosen) and METRICS[chosen[0]].half_depth in ("square", "root")


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else np.nan


def replicates(
    judged: Judged,
    options: Options,
    *,
    method: str,
    own_controls: bool,
    n_outer: int,
    n_inner: int,
) -> Iterator[Comparison]:
    """Replicates of the experiment, made of its own cells.

    With `own_controls` a replicate has its own controls as well, otherwise both sides are against
    the observed ones, as predictions are.
    """
    for outer in range(n_outer):
        how: dict[str, Any] = {"draw": outer, "own_controls": own_controls}
        if method == SPLIT_HALF:
            yield split_halves(judged, options, **how)
        elif method == BOOTSTRAP:
            yield resample(judged, options, **how)
        else:
            yield from resample_batches(judged, options, n_inner=n_inner, **how)


def replicate_scores(
    comparisons: Iterator[Comparison], chosen: Sequence[Chosen], *, step: Step
) -> Scores:
    """Scores of replicates, float64 ``(replicates, values)`` for each metric."""
    found = [_score_known(c, chosen, step=step) for c in comparisons]
    return {c: np.stack([scores[c] for scores in found]) for c in chosen}


def _score_known(comparison: Comparison, chosen: Sequence[Chosen], *, step: Step) -> Scores:
    """Scores over the conditions that have cells and controls on both sides; else NaN.

    A condition of one cell has no halves, and a draw of batches may miss a condition.
    """
    sides = comparison.predicted, comparison.observed
    n = [m.n for side in sides for m in (side.moments, side.control_moments)]
    rows = np.flatnonzero(np.min(n, axis=0))
    if len(rows) == len(comparison):
        return score(comparison, chosen, step=step)
    found = {}
    known = score(comparison.take(rows), chosen, step=step) if len(rows) else {}
    for c in chosen:
        level = METRICS[c[0]].level
        found[c] = np.full(len(lay_out(comparison.conditions, level)), np.nan)
        if len(rows):
            found[c][places(level, comparison.conditions, rows)] = known[c]
    return found


def depth_share(judged: Judged, metric: str, options: Options) -> np.ndarray | float:
    """Sampling variance of whole conditions, as a share of that of their halves.

    One half; more where distances look at `options.max_cells` only, 1 where halves have as many.
    """
    if METRICS[metric].needs != "cells" or METRICS[metric].level != "condition":
        return 0.5
    n = judged.all_conditions.n_cells[judged.rows]
    return np.minimum(n // 2, options.max_cells) / np.minimum(n, options.max_cells)


def whole_depth(values: np.ndarray, metric: str, share: np.ndarray | float = 0.5) -> np.ndarray:
    """Score that two whole experiments would have, from that of two halves.

    A half has twice the sampling variance of its mean (`share` is one half): squared distances are
    divided by 2, distances by the root of 2, and what is left to explain, ``1 - r2``, by 2; a
    correlation r becomes ``2 r / (1 + r)`` (Spearman and Brown) where it is positive. What has no
    such law stays as it is: it is the ceiling of half the cells.
    """
    law = METRICS[metric].half_depth
    if law == "square":
        return values * share
    if law == "root":
        return values * np.sqrt(share)
    if law == "residual":
        return 1 - (1 - values) * share
    if law == "spearman-brown":
        return np.where(values > 0, 2 * values / (1 + np.abs(values)), values)
    return values


def ceiling_of(
    values: np.ndarray, metric: str, *, method: str, share: np.ndarray | float
) -> np.ndarray:
    """One ceiling per value from those of the replicates, ``(replicates, values)``.

    The mean of split halves, at whole depth; of bootstraps `QUANTILE`, counted from the best.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice|All-NaN", RuntimeWarning)
        if method == SPLIT_HALF:
            return whole_depth(np.nanmean(values, axis=0), metric, share)
        quantile = 1 - QUANTILE if METRICS[metric].higher_is_better else QUANTILE
        return np.nanquantile(values, quantile, axis=0)
