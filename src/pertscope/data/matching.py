"""Which control cell goes with which perturbed cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Matching:
    """For each perturbed cell the controls that it may be matched to.

    Attributes
    ----------
    pool
        Rows of controls, int64.
    first, size
        Place in `pool` of the controls of each cell, int64 ``(cells,)``.
    share
        How often each of them is drawn, added up within a cell, plus the number of the cell:
        float64, as long as `pool`; ``None`` where all are as likely.
    """

    pool: np.ndarray
    first: np.ndarray
    size: np.ndarray
    share: np.ndarray | None = None

    def draw(self, rng: np.random.Generator, n: int = 1) -> np.ndarray:
        """Rows of `n` controls for each cell, int64 ``(cells, n)``, with replacement."""
        place = rng.random((len(self.first), n))
        if self.share is None:
            return self.pool[self.first[:, None] + (place * self.size[:, None]).astype(np.int64)]
        place += np.arange(len(self.first))[:, None]
        drawn = np.searchsorted(self.share, place, side="right")
        return self.pool[np.minimum(drawn, (self.first + self.size - 1)[:, None])]


def random_matching(condition: np.ndarray, controls: dict[int, np.ndarray]) -> Matching:
    """Any control of the cell's condition, each as likely.

    Parameters
    ----------
    condition
        Condition of each perturbed cell, int64.
    controls
        Rows of the control cells of each condition.
    """
    pools = {id(rows): rows for rows in controls.values()}  # conditions share their controls
    size = np.array([len(rows) for rows in pools.values()])
    number = {pool: i for i, pool in enumerate(pools)}
    place = {c: number[id(rows)] for c, rows in controls.items()}
    of_cell = np.array([place[c] for c in condition], dtype=np.int64)
    pool = np.concatenate(list(pools.values()))
    return Matching(pool, (np.cumsum(size) - size)[of_cell], size[of_cell])
