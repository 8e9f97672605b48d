"""How the mean expression of a condition is looked at: as it is, or against its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGFC_PSEUDOCOUNT = 0.1
LOG_LIMIT = 30.0
"""No log-normalised value reaches this: it is log1p of 1e13 counts."""


FLOAT32_ROUNDING = 4 * float(np.finfo(np.float32).eps)


def snap(mean: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Means that equal their controls up to float32 rounding, made equal.

    The direction of rounding errors is nobody's prediction.
    """
    same = np.all(is_rounding(mean - control, control), axis=1)
    return np.where(same[:, None], control, mean)


def is_rounding(difference: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Whether a difference from the controls may be float32 rounding, bool ``(p, genes)``."""
    largest = np.abs(control).max(axis=1, initial=0)[:, None]
    return np.abs(difference) <= FLOAT32_ROUNDING * largest


def effect(mean: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Condition mean minus matched control mean, float64 ``(conditions, genes)``."""
    return mean - control


def logfc(mean: np.ndarray, control: np.ndarray, *, clip: bool = True) -> np.ndarray:
    """Log2 ratio of mean log expression, as PerturBench defines it.

    ``log2(mean + 0.1) - log2(control + 0.1)``, both on the log1p scale. A predicted mean may be
    negative: it is set to 0 first, or, with ``clip=False``, what has no logarithm becomes 0.
    """
    mean = np.maximum(mean, 0) if clip else mean
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log2(mean + LOGFC_PSEUDOCOUNT) - np.log2(control + LOGFC_PSEUDOCOUNT)
    return np.where(np.isfinite(ratio), ratio, 0.0)


def has_logfc(mean: np.ndarray) -> bool:
    """Whether means can be those of log-normalised values."""
    return bool(mean.min(initial=0.0) >= 0 and mean.max(initial=0.0) <= LOG_LIMIT)


def require_logfc(mean: np.ndarray, genes: Sequence[str], what: str) -> None:
    """Refuse observed means for which logfc is undefined.

    Raises
    ------
    ValueError
        If a mean is negative, as in image profiles, or too large to be a logarithm.
    """
    low, high = mean.min(initial=0.0), mean.max(initial=0.0)
    if low < 0:
        gene = genes[int(mean.argmin()) % mean.shape[1]]
        raise ValueError(
            f"logfc is undefined: {what} has negative means (down to {low:.4g}, in {gene!r}), as "
            "image profiles have. Use the statistic 'effect', the difference of means."
        )
    if high > LOG_LIMIT:
        raise ValueError(
            f"logfc needs log-normalised values, {what} has means up to {high:.4g}: call "
            "`ps.pp.normalize(adata)` first, or use the statistic 'effect'."
        )
