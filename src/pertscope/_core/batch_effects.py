"""Effects that compare a condition with the controls of the same batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.moments import moments

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGE_BATCH = 100
"""Cells per batch and condition from which batches count as large."""

SIZES = ("auto", "large", "small")


@dataclass(frozen=True)
class BatchMeans:
    """Means of groups in the batches that hold them.

    Attributes
    ----------
    group, batch
        Group and batch of each row, int64 ``(rows,)``.
    n
        Cells, int64 ``(rows,)``.
    mean
        Means, float64 ``(rows, genes)``.
    """

    group: np.ndarray
    batch: np.ndarray
    n: np.ndarray
    mean: np.ndarray

    def of(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Batches that hold a group, and its mean in each."""
        rows = self.group == group
        return self.batch[rows], self.mean[rows]


def batch_means(
    x: Any,
    codes: np.ndarray,
    batch: np.ndarray,
    *,
    repeats: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> BatchMeans:
    """Means by group and batch, in one pass; only of those that have cells."""
    used = codes >= 0
    n_batches = int(batch.max(initial=-1)) + 1
    pairs, compact = np.unique(codes[used] * n_batches + batch[used], return_inverse=True)
    pair_codes = np.full(len(codes), -1, np.int64)
    pair_codes[used] = compact
    found = moments(x, pair_codes, len(pairs), repeats=repeats, names=names)
    drawn = found.n > 0
    pairs, found = pairs[drawn], found[drawn]
    return BatchMeans(pairs // n_batches, pairs % n_batches, found.n, found.mean)


def batch_adjusted_effects(
    means: BatchMeans,
    groups: np.ndarray,
    controls: BatchMeans,
    control_groups: np.ndarray,
    *,
    batch_size: str = "auto",
) -> np.ndarray:
    """Batch-adjusted average treatment effects (BA-ATE), float64 ``(conditions, genes)``.

    - ``"large"`` batches: ``mean over batches b that hold both of (x_cb - x_0b)``, with x_cb the
      mean of the condition and x_0b that of its controls in batch b; NaN where no batch holds both;
    - ``"small"`` batches, whose own controls are few: ``mean over b of x_cb - mean over b of
      x_0b``, each over all batches that hold it;
    - ``"auto"``: large if the median condition has at least 100 cells per batch.

    Source: Cole et al., Foundation Models Improve Perturbation Response Prediction, equations 2-6.
    """
    if batch_size not in SIZES:
        raise ValueError(f"`batch_size`={batch_size!r} must be one of {SIZES}.")
    if batch_size == "auto":
        cells = means.n[np.isin(means.group, groups)]
        batch_size = "large" if cells.size and np.median(cells) >= LARGE_BATCH else "small"
    effects = np.full((len(groups), means.mean.shape[1]), np.nan)
    for i, (group, control) in enumerate(zip(groups, control_groups, strict=True)):
        (batches, x), (control_batches, x_0) = means.of(group), controls.of(control)
        if batch_size == "small":
            effects[i] = x.mean(axis=0) - x_0.mean(axis=0)
            continue
        _, here, there = np.intersect1d(batches, control_batches, return_indices=True)
        if len(here):
            effects[i] = (x[here] - x_0[there]).mean(axis=0)
    return effects
