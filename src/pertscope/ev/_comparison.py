"""Predicted and observed conditions side by side: what every metric is a function of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pertscope.ev._statistics import values_of

if TYPE_CHECKING:
    import pandas as pd

    from pertscope._core.conditions import Conditions
    from pertscope.ev._side import Side


@dataclass(frozen=True)
class Options:
    """How metrics are computed, where there is a choice.

    Attributes
    ----------
    compat
        Tool whose conventions are followed; ``None`` for our own.
    ties
        How ties of ranks count: ``"expected"`` or ``"worst"``.
    alpha
        Adjusted p-values below this are significant.
    deg_labels
        Whether a gene's label is that of all cells, ``"pooled"``, or ``"batch-majority"``.
    min_cells
        Cells in a batch, of a condition and of its controls, from which the batch has a label.
    batch_size
        Whether batches are ``"large"`` or ``"small"`` in ``"ba_ate"``; ``"auto"`` goes by the
        observed cells of all conditions.
    n_components
        Components of the reference PCA.
    max_cells
        Cells per population that distances between cells look at.
    unbiased
        Whether distances between cells leave out the zero distance of a cell to itself.
    seed
        Seed of what is drawn.
    """

    compat: str | None = None
    ties: str = "expected"
    alpha: float = 0.05
    deg_labels: str = "pooled"
    min_cells: int = 30
    batch_size: str = "auto"
    n_components: int = 50
    max_cells: int = 1000
    unbiased: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_cells < 2:
            raise ValueError(f"`max_cells`={self.max_cells} must be at least 2.")


@dataclass(frozen=True, eq=False)
class Comparison:
    """p conditions, predicted and observed.

    `reference` is the observed side of all judged conditions, also where a prediction lacks some.
    """

    conditions: Conditions
    predicted: Side
    observed: Side
    reference: Side
    options: Options

    def __len__(self) -> int:
        return len(self.conditions)

    @property
    def genes(self) -> pd.Index:
        """Names of the genes."""
        return self.observed.populations.genes

    @cached_property
    def contexts(self) -> list[np.ndarray]:
        """Conditions of each combination of covariates."""
        context = self.conditions.context
        return [np.flatnonzero(context == c) for c in range(context.max(initial=-1) + 1)]

    def pair(self, statistic: str) -> tuple[np.ndarray, np.ndarray]:
        """Statistic of the predicted and of the observed conditions, float64 ``(p, values)``."""
        return self.values(self.predicted, statistic), self.values(self.observed, statistic)

    def values(self, side: Side, statistic: str) -> np.ndarray:
        """Statistic of one side, float64 ``(p, values)``."""
        return values_of(side, statistic, reference=self.reference, options=self.options)

    def with_prediction(self, side: Side) -> Comparison:
        """The same conditions, predicted otherwise."""
        return Comparison(self.conditions, side, self.observed, self.reference, self.options)

    def take(self, rows: np.ndarray) -> Comparison:
        """Some of the conditions."""
        return Comparison(
            self.conditions.take(rows),
            self.predicted.take(rows),
            self.observed.take(rows),
            self.reference,
            self.options,
        )
