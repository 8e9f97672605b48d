"""What a metric is: its function, its direction, its limits, its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


@dataclass(frozen=True)
class Metric:
    """One metric of a prediction, per condition over genes.

    Attributes
    ----------
    function
        Takes predicted and observed values, each float64 ``(conditions, genes)``, and returns
        float64 ``(conditions,)``.
    higher_is_better
        Direction.
    limits
        Lowest and highest value.
    needs
        What it is computed from: ``"means"``.
    reference
        Source.
    """

    function: Callable[[np.ndarray, np.ndarray], np.ndarray]
    higher_is_better: bool
    limits: tuple[float, float]
    needs: str
    reference: str
