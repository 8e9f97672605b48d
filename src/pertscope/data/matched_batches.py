"""Batches of perturbed cells, each with a random control cell of the same covariates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.utils.data import IterableDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pertscope.data.rows import Rows, SparseBatch


class Batch(NamedTuple):
    """Control cells, perturbed cells and the condition of each, ``(cells, ...)``."""

    x0: torch.Tensor | SparseBatch
    x: torch.Tensor | SparseBatch
    condition: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Copy to a device; what is sparse stays sparse."""
        return Batch(self.x0.to(device), self.x.to(device), self.condition.to(device))


class MatchedBatches(IterableDataset):
    """Perturbed cells in batches, each cell matched to a random control of the same covariates.

    With ``shuffle`` every pass draws a new order and new controls; without it every pass is the
    same. Both depend on the seed alone.

    Parameters
    ----------
    rows
        Reader of the matrix.
    perturbed
        Rows of the perturbed cells, int64.
    condition
        Condition of each of them, int64.
    controls
        Rows of the control cells that match each condition.
    batch_size
        Cells per batch.
    """

    def __init__(
        self,
        rows: Rows,
        perturbed: np.ndarray,
        condition: np.ndarray,
        controls: dict[int, np.ndarray],
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
    ) -> None:
        self.rows = rows
        self.perturbed = perturbed
        self.condition = condition
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self._epoch = 0
        # all controls in one array, so that matching a batch is one draw
        self._pool = np.concatenate(list(controls.values()))
        size = np.array([len(c) for c in controls.values()])
        place = {c: i for i, c in enumerate(controls)}
        of_cell = np.array([place[c] for c in condition], dtype=np.int64)
        self._first = (np.cumsum(size) - size)[of_cell]
        self._size = size[of_cell]

    def __len__(self) -> int:
        return math.ceil(len(self.perturbed) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, self._epoch])
        n = len(self.perturbed)
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        matched = self._pool[self._first + (rng.random(n) * self._size).astype(np.int64)]
        self._epoch += self.shuffle
        for start in range(0, n, self.batch_size):
            cells = order[start : start + self.batch_size]
            yield Batch(
                self.rows(matched[cells]),
                self.rows(self.perturbed[cells]),
                torch.from_numpy(self.condition[cells]),
            )
