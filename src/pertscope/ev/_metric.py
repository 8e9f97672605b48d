"""What a metric is: its function, its direction, its limits, its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from pertscope.ev._comparison import Comparison

ANY = (0.0, float("inf"))
SHARE = (0.0, 1.0)
CORRELATION = (-1.0, 1.0)


@dataclass(frozen=True)
class Metric:
    """One metric of predictions.

    Attributes
    ----------
    function
        Takes a comparison of p conditions and the name of a statistic, and returns float64: one
        value per condition, per combination of covariates, or one in all.
    statistics
        Statistics that it can be taken on.
    higher_is_better
        Direction; ``None`` for a diagnosis, which has no better: it has no floor.
    limits
        Lowest and highest value.
    needs
        What of a prediction it is computed from: ``"means"`` or ``"cells"``.
    reference
        Source.
    level
        What has one value: a ``"condition"``, a ``"context"`` (combination of covariates),
        ``"all"``.
    half_depth
        How the score of two halves of an experiment becomes that of two whole ones:
        ``"spearman-brown"`` for correlations, ``"root"`` for distances (divided by the root of 2),
        ``"square"`` for squared distances (divided by 2), ``"residual"`` for r2 (what it lacks of 1
        is divided by 2), ``""`` where it stays as it is.
    compat
        Its names in other tools.
    """

    function: Callable[[Comparison, str], np.ndarray]
    statistics: tuple[str, ...]
    higher_is_better: bool | None
    limits: tuple[float, float]
    needs: str
    reference: str
    level: str = "condition"
    half_depth: str = ""
    compat: Mapping[str, str] = field(default_factory=dict)
