"""How the mean expression of a condition is looked at: as it is, or against its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGFC_PSEUDOCOUNT = 0.1
LOG_LIMIT = 30.0
"""No log-normalised value reaches this: it is log1p of 1e13 counts."""

STATISTICS = ("mean", "effect", "logfc")


def effect(mean: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Condition mean minus matched control mean, float64 ``(conditions, genes)``."""
    return mean - control


def logfc(
    mean: np.ndarray,
    control: np.ndarray,
    *,
    genes: Sequence[str] | None = None,
    what: str = "expression",
) -> np.ndarray:
    """Log2 ratio of mean log expression, as PerturBench defines it.

    ``log2(mean + 0.1) - log2(control + 0.1)``, both on the log1p scale.

    Raises
    ------
    ValueError
        If a mean is negative, as in image profiles, or too large to be a logarithm.
    """
    for values in (mean, control):
        low, high = np.nanmin(values, initial=0.0), np.nanmax(values, initial=0.0)
        if low < -LOGFC_PSEUDOCOUNT / 2:
            at = np.unravel_index(np.nanargmin(values), values.shape)[-1]
            gene = "" if genes is None else f", in {genes[at]!r}"
            raise ValueError(
                f"logfc is undefined: {what} has negative means (down to {low:.4g}{gene}), as image "
                "profiles have. Use the statistic 'effect', the difference of means."
            )
        if high > LOG_LIMIT:
            raise ValueError(
                f"logfc needs log-normalised values, {what} has means up to {high:.4g}: call "
                "`ps.pp.normalize(adata)` first, or use the statistic 'effect'."
            )
    return np.log2(np.maximum(mean, 0) + LOGFC_PSEUDOCOUNT) - np.log2(
        np.maximum(control, 0) + LOGFC_PSEUDOCOUNT
    )
