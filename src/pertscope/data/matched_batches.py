"""Batches of perturbed cells, each with control cells of the same covariates."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.distributed as processes
from torch.utils.data import IterableDataset

from pertscope.data.perturbed_cells import ALONE, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pertscope.data.matching import Matching
    from pertscope.data.perturbed_cells import PerturbedCells
    from pertscope.data.rows import Rows, SparseBatch


class Batch(NamedTuple):
    """Control cells, perturbed cells and the condition of each, ``(cells, ...)``.

    `seen0` and `seen` are what an encoder sees of them, where that is not their expression.
    """

    x0: torch.Tensor | SparseBatch
    x: torch.Tensor | SparseBatch
    condition: torch.Tensor
    seen0: torch.Tensor | SparseBatch | None = None
    seen: torch.Tensor | SparseBatch | None = None

    def to(self, device: torch.device) -> Batch:
        """Copy to a device; what is sparse stays sparse."""
        return Batch(
            self.x0.to(device),
            self.x.to(device),
            self.condition.to(device),
            None if self.seen0 is None else self.seen0.to(device),
            None if self.seen is None else self.seen.to(device),
        )


class MatchedBatches(IterableDataset):
    """Perturbed cells in batches, each cell matched to random controls of the same covariates.

    With ``shuffle`` every pass draws a new order and new controls; without it every pass is the
    same. Both depend on the seed and the number of the pass alone.

    Parameters
    ----------
    perturbed
        The perturbed cells.
    condition
        Condition of each of them, int64.
    controls
        Reader of the control cells.
    matching
        Which of them may go with which cell.
    representation
        What an encoder sees of each cell of the screen, ``(cells, dimensions)``, where that is not
        its expression.
    n_controls
        Controls per cell, averaged.
    batch_size
        Cells per batch.

    Attributes
    ----------
    epoch
        Number of the next pass that is shuffled.
    """

    def __init__(
        self,
        perturbed: PerturbedCells,
        condition: np.ndarray,
        controls: Rows,
        matching: Matching,
        *,
        representation: Rows | None = None,
        n_controls: int = 1,
        batch_size: int,
        shuffle: bool,
        seed: int,
    ) -> None:
        self.perturbed = perturbed
        self.condition = condition
        self.controls = controls
        self.matching = matching
        self.representation = representation
        self.n_controls = n_controls
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """Batches of a pass, of this process: when some train together, all have as many."""
        return math.ceil(len(self.condition) / self.batch_size) // self._turn()[1]

    def __iter__(self) -> Iterator[Batch]:
        turn, most = self._turn(), len(self)
        if most == 0:
            raise ValueError(
                f"{len(self.condition)} cells are less than a batch of {self.batch_size} for each "
                f"of {turn[1]} devices: lower `batch_size`."
            )
        rng = np.random.default_rng([self.seed, self.epoch])
        matched = self.matching.draw(rng, self.n_controls)
        self.epoch += self.shuffle
        order = rng if self.shuffle else None
        for cells, x in islice(self.perturbed.batches(self.batch_size, order, turn), most):
            there = matched[cells]
            batch = Batch(self.controls(there), x, torch.from_numpy(self.condition[cells]))
            if self.representation is not None:
                seen = self.representation(self.perturbed.rows[cells])
                batch = batch._replace(seen0=self.representation(there), seen=seen)
            yield batch

    def _turn(self) -> Turn:
        """Number of this process among those that share a pass; validation is the same for all."""
        together = processes.is_available() and processes.is_initialized() and self.shuffle
        return (processes.get_rank(), processes.get_world_size()) if together else ALONE
