"""Labels of genes: predicted against observed ones, where the screen holds nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.deg_labels import macro_f1_per_condition, macro_f1_per_gene, require_labels
from pertscope.ev._metric import SHARE, Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pertscope.ev._comparison import Comparison
    from pertscope.ev._score import Chosen
    from pertscope.ev._side import Side

COLE = "Cole et al., Foundation Models Improve Perturbation Response Prediction, section 4.2"
LABEL = "label"
"""The statistic: down (-1), unchanged (0) or up (1)."""

ADVICE = "predict labels, with regressor='logistic', or judge effects by `ps.ev.error_metrics`"


def check_labels(name: str, comparison: Comparison, chosen: Sequence[Chosen]) -> None:
    """Refuse a screen, or a prediction, that is not of labels where labels are compared.

    Raises
    ------
    ValueError
        If there is anything but -1, 0 and 1.
    """
    if not any(statistic == LABEL for _, statistic in chosen):
        return
    require_labels(comparison.values(comparison.observed, "effect"), "effects of the screen")
    predicted = comparison.values(comparison.predicted, "effect")
    require_labels(predicted, f"effects of prediction {name!r}", ADVICE)


def labels_of(comparison: Comparison, side: Side) -> np.ndarray:
    """Labels of one side, int8 ``(p, genes)``; of a guess, such as a mean, the nearest ones."""
    nearest = np.rint(comparison.values(side, "effect"))
    return np.clip(nearest, -1, 1).astype(np.int8)


def _macro_f1(comparison: Comparison, _: str) -> np.ndarray:
    sides = comparison.predicted, comparison.observed
    return macro_f1_per_condition(*(labels_of(comparison, side) for side in sides))


def _macro_f1_per_gene(comparison: Comparison, _: str) -> np.ndarray:
    sides = comparison.predicted, comparison.observed
    a, b = (labels_of(comparison, side) for side in sides)
    return np.array([macro_f1_per_gene(a[i], b[i]).mean() for i in comparison.contexts])


METRICS: dict[str, Metric] = {
    "macro_f1": Metric(_macro_f1, (LABEL,), True, SHARE, "means", COLE),
    "macro_f1_per_gene": Metric(
        _macro_f1_per_gene, (LABEL,), True, SHARE, "means", COLE, level="context"
    ),
}
