"""Table of mean average precisions and their p-values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.gene_test import adjust_p_values
from pertscope.ev._average_precision import expected_average_precision, group_means

if TYPE_CHECKING:
    import pandas as pd

    from pertscope.ev._average_precision import Queries, Retrieval

MEAN, NORMALISED = "mean_average_precision", "mean_normalised_average_precision"
P_VALUE, CORRECTED, N_PROFILES = "p_value", "corrected_p_value", "n_profiles"


def retrieval_table(
    names: pd.DataFrame, queries: Queries, retrieval: Retrieval, p_value: np.ndarray
) -> pd.DataFrame:
    """One row per group: its names, mean average precision, p-values, number of members.

    P-values are adjusted by Benjamini and Hochberg over the groups that have one.
    """
    expected = expected_average_precision(retrieval.n_positives, retrieval.n_negatives)
    room = 1 - expected  # none where there are only positives, or only one profile to rank
    normalised = np.divide(
        retrieval.value - expected, room, out=np.full(len(room), np.nan), where=room > 0
    )
    corrected = np.full(len(p_value), np.nan)
    tested = np.isfinite(p_value)
    corrected[tested] = adjust_p_values(p_value[tested])
    table = names.astype("category").assign(
        **{
            MEAN: group_means(queries, retrieval.value),
            NORMALISED: group_means(queries, normalised),
            P_VALUE: p_value,
            CORRECTED: corrected,
            N_PROFILES: np.diff(queries.start),
        }
    )
    table.index = table.index.astype(str)
    return table
