"""Average precision and its p-values as copairs finds them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

QUERY = -1
"""Reference number of all rows that are no controls; each control has one of its own."""


def activity(
    x: np.ndarray,
    perturbation: np.ndarray,
    batch: np.ndarray,
    *,
    control: str,
    metric: str = "cosine",
    different: dict[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """One row per perturbed profile that was ranked, in the order of `x`."""
    from copairs.map import average_precision

    reference = np.where(perturbation == control, np.arange(len(x)), QUERY)
    table = {"perturbation": perturbation, "batch": batch, "reference": reference}
    meta = pd.DataFrame({**table, **(different or {})})
    found = average_precision(
        meta,
        x,
        ["perturbation", "reference"],
        list(different or []),
        ["batch"],
        ["perturbation", "reference"],
        distance=metric,
        progress_bar=False,
    )
    return found[found["reference"] == QUERY]


def consistency(x: np.ndarray, labels: Sequence[list[str]], metric: str = "cosine") -> pd.DataFrame:
    """One row per profile and label that it shares."""
    from copairs.map.multilabel import average_precision

    meta = pd.DataFrame({"label": list(labels), "row": np.arange(len(x))})
    return average_precision(
        meta, x, ["label"], [], [], ["label"], "label", distance=metric, progress_bar=False
    )


def means(found: pd.DataFrame, by: str, cache: Path, **options: Any) -> pd.DataFrame:
    """Mean average precisions and p-values; options are `null_size` and `seed`."""
    from copairs.map import mean_average_precision

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = mean_average_precision(
            found, [by], threshold=0.05, progress_bar=False, cache_dir=cache, **options
        )
    return table.set_index(by).sort_index()
