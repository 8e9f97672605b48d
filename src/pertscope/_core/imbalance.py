"""How unevenly perturbations are spread over covariates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pertscope._core.conditions import Conditions


def perturbations_per_context(conditions: Conditions) -> np.ndarray:
    """Number of perturbations in each combination of covariates, int64 ``(contexts,)``."""
    return np.bincount(
        conditions.context[~conditions.is_control], minlength=len(conditions.contexts)
    ).astype(np.int64)


def imbalance_of_counts(counts: np.ndarray) -> float:
    """``1 - H / log k``, H the entropy of the shares of k counts: 0 is balanced."""
    if len(counts) < 2:
        return 0.0
    share = counts[counts > 0] / counts.sum()
    return float(1 + np.sum(share * np.log(share)) / np.log(len(counts)))
