"""One side of a comparison: what is predicted, or what was observed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.moments import Moments

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope.ev._populations import Populations


@dataclass(frozen=True, eq=False)
class Side:
    """Populations of p conditions and of their controls.

    Attributes
    ----------
    populations, groups
        Condition i is group ``groups[i]`` of `populations`.
    controls, control_groups
        Its controls are group ``control_groups[i]`` of `controls`.
    n_cells
        Cells that each condition stands for where only its mean is known, int64 ``(p,)``;
        ``None`` where the populations hold cells.
    """

    populations: Populations
    groups: np.ndarray
    controls: Populations
    control_groups: np.ndarray
    n_cells: np.ndarray | None = None
    _known: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def has_cells(self) -> bool:
        """Whether cells are known, and not only means."""
        return self.n_cells is None

    @cached_property
    def control_moments(self) -> Moments:
        """Moments of the controls of each condition."""
        return self.controls.moments[self.control_groups]

    @cached_property
    def moments(self) -> Moments:
        """Moments of each condition; where only means are known, with the controls' variance."""
        found = self.populations.moments[self.groups]
        if self.n_cells is None:
            return found
        variance = self.control_moments.variance
        return Moments(self.n_cells, found.mean, variance * self.n_cells[:, None])

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Result of `compute`, called the first time and remembered under `key`."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def take(self, rows: np.ndarray) -> Side:
        """Some of the conditions."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return Side(
            self.populations,
            self.groups[rows],
            self.controls,
            self.control_groups[rows],
            None if self.n_cells is None else self.n_cells[rows],
        )
