"""Trials as a table that h5ad holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope.tl._validation import OBJECTIVE, RANK, RMSE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.trial import FrozenTrial

EPOCHS, MACHINE, SECONDS, ERROR = "epochs", "machine", "seconds", "error"
INTERRUPTED = "interrupted"
"""What stands in place of an error where the user ended a trial."""

NUMBERS = {"trial": "int64", "seed": "int64", EPOCHS: "int64"}
MEASURED = (OBJECTIVE, RMSE, RANK, SECONDS)
TEXT = ("state", MACHINE, ERROR)
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def trial_row(trial: FrozenTrial, seed: int) -> dict[str, Any]:
    """Row of a trial: how it ended, what it measured, its settings."""
    measured = {k: trial.user_attrs.get(k) for k in (OBJECTIVE, RMSE, RANK, SECONDS)}
    return {
        "trial": trial.number,
        "state": STATES.get(trial.state.name, trial.state.name.lower()),
        "seed": seed,
        **measured,
        EPOCHS: trial.user_attrs.get(EPOCHS, len(trial.intermediate_values)),
        MACHINE: trial.user_attrs.get(MACHINE, ""),
        ERROR: trial.user_attrs.get(ERROR, ""),
        **trial.params,
    }


def tuning_table(rows: Sequence[Mapping[str, Any]], settings: Sequence[str]) -> pd.DataFrame:
    """Rows as a table: numbers as numbers, all else categorical."""
    own = ["trial", "state", "seed", OBJECTIVE, RMSE, RANK, EPOCHS, SECONDS, MACHINE, ERROR]
    table = pd.DataFrame(rows, columns=[*own, *settings])
    for column in table.columns:
        values = table[column]
        if column in NUMBERS:
            table[column] = values.astype(NUMBERS[column])
        elif column in MEASURED or (column not in TEXT and _are_numbers(values)):
            table[column] = values.astype(np.float64)
        else:
            text = [None if _is_missing(v) else str(v) for v in values]
            table[column] = pd.Categorical(text)
    table.index = table.index.astype(str)
    return table


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _are_numbers(values: pd.Series) -> bool:
    present = [v for v in values if not _is_missing(v)]
    return all(isinstance(v, int | float) and not isinstance(v, bool | np.bool_) for v in present)
