"""What a model was set up with, for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core.conditions import screen_conditions
from pertscope._core.splits import split_of

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.screen import Screen
    from pertscope.models.encoding import Vocabulary


def setup_summary(adata: AnnData, screen: Screen, vocabulary: Vocabulary) -> str:
    """Keys of the screen, what was learned of each, and cells by part of the split."""
    covariates = vocabulary.covariates
    rows = [
        ("perturbation", screen.perturbation_key, f"{len(vocabulary.perturbations)} in training"),
        ("control", screen.perturbation_key, repr(screen.control)),
        *(("covariate", k, f"{len(v)}: {', '.join(v)}") for k, v in covariates.items()),
        ("batch", screen.batch_key, "not modelled"),
        ("dose", screen.dose_key, _range(vocabulary)),
        ("layer", screen.layer or "X", f"{adata.n_vars} genes"),
    ]
    keys = pd.DataFrame(rows, columns=["what", "where", "values"]).dropna(subset="where")
    conditions = screen_conditions(adata, screen)
    part = split_of(adata, conditions)
    kind = np.where(conditions.is_control[conditions.codes], "controls", "perturbed cells")
    cells = pd.crosstab(pd.Series(part, name=screen.split_key), kind).rename_axis(columns=None)
    return f"{keys.to_string(index=False)}\n\n{cells.to_string()}"


def _range(vocabulary: Vocabulary) -> str:
    doses = vocabulary.doses
    return "" if doses is None else f"{doses.lowest:g} to {doses.highest:g}"
