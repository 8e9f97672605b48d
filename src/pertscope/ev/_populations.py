"""Groups of cells, read once however many metrics look at them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.batch_effects import BatchedCells, size_of_batches
from pertscope._core.matrix import is_backed
from pertscope._core.moments import moments

if TYPE_CHECKING:
    import pandas as pd

    from pertscope._core.moments import Moments


@dataclass(frozen=True)
class BatchMoments:
    """Moments of groups in the batches where they have enough cells.

    Attributes
    ----------
    place
        Row of each group and batch in `moments`, int64 ``(groups, batches)``; -1 where it has too
        few cells.
    """

    place: np.ndarray
    moments: Moments


@dataclass(frozen=True, eq=False)
class Populations:
    """Populations of cells: the rows of a matrix by group.

    Attributes
    ----------
    matrix
        Cells x genes, of any kind.
    codes
        Group of each row, int64 ``(rows,)``; negative rows belong to none.
    n_groups
        Number of groups.
    genes
        Names of the columns.
    repeats
        How often each row counts, int64 ``(rows,)``; once if ``None``.
    batch
        Batch of each row, int64 ``(rows,)``, where batches are known.
    drawn
        How often each batch was drawn, int64 ``(batches,)``; once if ``None``.
    perturbed
        Condition of each row of the screen, int64 ``(rows,)``, also where it belongs to no group;
        controls are negative. `codes` if ``None``.
    """

    matrix: Any
    codes: np.ndarray
    n_groups: int
    genes: pd.Index
    repeats: np.ndarray | None = None
    batch: np.ndarray | None = None
    drawn: np.ndarray | None = None
    perturbed: np.ndarray | None = None
    _by_batch: dict[int, BatchMoments] = field(default_factory=dict, repr=False)

    @cached_property
    def moments(self) -> Moments:
        """Moments of every group."""
        return moments(
            self.matrix, self.codes, self.n_groups, repeats=self.repeats, names=self.genes
        )

    @cached_property
    def batched(self) -> BatchedCells:
        """The cells by group and batch."""
        if self.batch is None:
            raise ValueError(
                "the statistic 'ba_ate' compares within batches, and the screen has none: register "
                "it with `batch_key=...`, or use 'effect'."
            )
        names = list(self.genes)
        return BatchedCells(self.matrix, self.codes, self.batch, self.repeats, names, self.drawn)

    @cached_property
    def batch_size(self) -> str:
        """Whether batches are ``"large"`` or ``"small"``, of the whole screen."""
        if self.batch is None:
            raise ValueError("these cells have no batches.")
        return size_of_batches(self.codes if self.perturbed is None else self.perturbed, self.batch)

    def by_batch(self, min_cells: int) -> BatchMoments:
        """Moments of every group in the batches where it has so many cells, in one pass.

        Cells count once here, however often a bootstrap repeats them: which batches are looked at
        is not a matter of the draw. One that was drawn less than twice has no place all the same.
        """
        if self.batch is None:
            raise ValueError("these cells have no batches.")
        if min_cells not in self._by_batch:
            n_batches = int(self.batch.max(initial=-1)) + 1
            pair = np.where(self.codes >= 0, self.codes * n_batches + self.batch, -1)
            n = np.bincount(pair[pair >= 0], minlength=self.n_groups * n_batches)
            place = np.full(len(n), -1, np.int64)
            enough = np.flatnonzero(n >= min_cells)
            place[enough] = np.arange(len(enough))
            codes = np.where(pair >= 0, place[pair], -1)
            found = moments(self.matrix, codes, len(enough), repeats=self.repeats, names=self.genes)
            place[enough[found.n < 2]] = -1
            self._by_batch[min_cells] = BatchMoments(place.reshape(self.n_groups, -1), found)
        return self._by_batch[min_cells]

    @cached_property
    def _by_group(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.codes, kind="stable")
        return order, np.searchsorted(self.codes[order], np.arange(self.n_groups + 1))

    def rows(self, group: int) -> np.ndarray:
        """Rows of a group, ascending; repeated ones as often as they count."""
        order, edges = self._by_group
        rows = order[edges[group] : edges[group + 1]]
        return rows if self.repeats is None else np.repeat(rows, self.repeats[rows])

    def cells(self, group: int, *, at_most: int | None = None, seed: int = 0) -> Any:
        """Cells of a group in memory, CSR or dense; at random `at_most` of them."""
        rows = self.rows(group)
        if at_most is not None and len(rows) > at_most:
            rng = np.random.default_rng([seed, group])
            rows = np.sort(rng.choice(rows, at_most, replace=False))
        return take_rows(self.matrix, rows)

    def regroup(self, codes: np.ndarray, n_groups: int) -> Populations:
        """The same cells in other groups."""
        return Populations(self.matrix, codes, n_groups, self.genes, batch=self.batch)


def take_rows(matrix: Any, rows: np.ndarray) -> Any:
    """Rows of a matrix of any kind, in memory."""
    if not is_backed(matrix):
        return matrix[rows]
    unique, back = np.unique(rows, return_inverse=True)  # files want them ascending, each once
    block = matrix[unique]
    block = block.compute() if hasattr(block, "compute") else block
    return block if len(unique) == len(rows) else block[back]
