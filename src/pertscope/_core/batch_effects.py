"""Effects that compare a condition with the controls of the same batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.moments import moments
from pertscope._core.weighted_sums import weighted_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGE_BATCH = 100
"""Cells per batch and condition from which batches count as large."""

AUTO = "auto"
SIZES = (AUTO, "large", "small")


@dataclass(frozen=True, eq=False)
class BatchedCells:
    """Cells by group and batch; what was computed of a group is remembered.

    Attributes
    ----------
    matrix
        Cells x genes, of any kind.
    codes, batch
        Group and batch of each row, int64 ``(rows,)``; rows of negative groups belong to none.
    repeats
        How often each row counts, int64 ``(rows,)``; once if ``None``.
    names
        Names of the genes, for error messages.
    drawn
        How often each batch was drawn, int64 ``(batches,)``; once if ``None``. A batch that was
        drawn k times is k batches wherever batches are averaged; `repeats` count all its cells.
    """

    matrix: Any
    codes: np.ndarray
    batch: np.ndarray
    repeats: np.ndarray | None = None
    names: Sequence[str] | None = None
    drawn: np.ndarray | None = None
    _by_batch: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)
    _over: dict[tuple[int, bytes], np.ndarray] = field(default_factory=dict, repr=False)

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Group, batch and cells of each pair that has cells, sorted; pair of each row, or -1."""
        used = self.codes >= 0 if self.repeats is None else (self.codes >= 0) & (self.repeats > 0)
        n_batches = int(self.batch.max(initial=-1)) + 1
        pairs, place = np.unique(
            self.codes[used] * n_batches + self.batch[used], return_inverse=True
        )
        times = None if self.repeats is None else self.repeats[used]
        n = np.bincount(place, weights=times, minlength=len(pairs)).astype(np.int64)
        pair = np.full(len(self.codes), -1, np.int64)
        pair[used] = place
        return pairs // n_batches, pairs % n_batches, n, pair

    def weights(self, batches: np.ndarray) -> np.ndarray:
        """Share that each of these batches has in a mean over them, float64 ``(batches,)``."""
        times = np.ones(len(batches)) if self.drawn is None else self.drawn[batches]
        return times / max(times.sum(), 1)

    def batches(self, group: int) -> np.ndarray:
        """Batches that hold a group, int64, ascending."""
        found: np.ndarray = self._pairs[1][self._rows(group)]
        return found

    def _rows(self, group: int) -> slice:
        low, high = np.searchsorted(self._pairs[0], [group, group + 1])
        return slice(int(low), int(high))

    def by_batch(self, groups: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Batches that hold each group, and its mean in each, float64 ``(batches, genes)``.

        All are kept: meant for the few groups of controls.
        """
        new = sorted(set(map(int, groups)) - self._by_batch.keys())
        if new:
            group, _, _, pair = self._pairs
            pairs = np.flatnonzero(np.isin(group, new))
            of = np.full(len(group) + 1, -1)  # the last is that of rows without a pair
            of[pairs] = np.arange(len(pairs))
            mean = moments(
                self.matrix, of[pair], len(pairs), repeats=self.repeats, names=self.names
            ).mean
            for g in new:
                self._by_batch[g] = self.batches(g), mean[group[pairs] == g]
        return {g: self._by_batch[g] for g in map(int, groups)}

    def over_batches(self, groups: np.ndarray, batches: Sequence[np.ndarray]) -> np.ndarray:
        """Mean over some of its batches of the means of each group, float64 ``(groups, genes)``.

        A batch counts as often as it was drawn; NaN where there is none. A sum of cells with
        weights, so that the means of all groups in all batches are never kept.
        """
        keys = [(int(g), b.tobytes()) for g, b in zip(groups, batches, strict=True)]
        new = [i for i, key in enumerate(keys) if key not in self._over]
        if new:
            _, batch, n, pair = self._pairs
            weight, of = np.zeros(len(n) + 1), np.full(len(n) + 1, -1)
            for place, i in enumerate(new):
                here = self._rows(int(groups[i]))
                chosen = here.start + np.flatnonzero(np.isin(batch[here], batches[i]))
                weight[chosen], of[chosen] = self.weights(batch[chosen]) / n[chosen], place
            weights = weight[pair] if self.repeats is None else weight[pair] * self.repeats
            found = weighted_sums(self.matrix, of[pair], weights, len(new), names=self.names)
            found[[len(batches[i]) == 0 for i in new]] = np.nan
            self._over.update(zip([keys[i] for i in new], found, strict=True))
        found = np.empty((len(keys), self.matrix.shape[1]))
        for i, key in enumerate(keys):
            found[i] = self._over[key]
        return found


def size_of_batches(codes: np.ndarray, batch: np.ndarray) -> str:
    """Whether the median condition has 100 cells per batch, ``"large"``, or ``"small"``.

    Decided once, for all conditions of a screen and the cells that were observed: neither a
    bootstrap, which repeats cells, nor a part of the conditions is judged by another statistic.

    Parameters
    ----------
    codes
        Condition of each row, int64 ``(rows,)``; negative rows, such as controls, do not count.
    batch
        Batch of each row, int64 ``(rows,)``.
    """
    used = codes >= 0
    pair = codes[used] * (int(batch.max(initial=-1)) + 1) + batch[used]
    _, n = np.unique(pair, return_counts=True)
    return "large" if n.size and np.median(n) >= LARGE_BATCH else "small"


def check_batch_size(batch_size: str) -> None:
    """Refuse what is no size of batches."""
    if batch_size not in SIZES:
        raise ValueError(f"`batch_size`={batch_size!r} must be one of {SIZES}.")


def batch_adjusted_effects(
    cells: BatchedCells,
    groups: np.ndarray,
    controls: BatchedCells,
    control_groups: np.ndarray,
    *,
    batch_size: str,
) -> np.ndarray:
    """Batch-adjusted average treatment effects (BA-ATE), float64 ``(conditions, genes)``.

    - ``"large"`` batches: ``mean over batches b that hold both of (x_cb - x_0b)``, with x_cb the
      mean of the condition and x_0b that of its controls in batch b; NaN where no batch holds both;
    - ``"small"`` batches, whose own controls are few: ``mean over b of x_cb - mean over b of
      x_0b``, each over all batches that hold it.

    A batch that was drawn k times is k of these batches; of large ones, which are pairs, as often
    as that of the cells was drawn.

    Source: Cole et al., Foundation Models Improve Perturbation Response Prediction, equations 2-6.
    """
    of_control = controls.by_batch(control_groups)
    batches = [cells.batches(int(g)) for g in groups]
    known = [of_control[int(c)][0] for c in control_groups]
    if batch_size == "large":
        batches = known = [np.intersect1d(b, k) for b, k in zip(batches, known, strict=True)]
    weighed = cells if batch_size == "large" else controls
    effects = cells.over_batches(groups, batches)
    means: dict[tuple[int, bytes], np.ndarray] = {}
    for i, (c, b) in enumerate(zip(map(int, control_groups), known, strict=True)):
        key = c, b.tobytes()
        if key not in means:
            there, mean = of_control[c]
            chosen = mean[np.isin(there, b)] * weighed.weights(b)[:, None]
            means[key] = chosen.sum(axis=0) if len(b) else np.full(mean.shape[1], np.nan)
        effects[i] -= means[key]
    return effects
