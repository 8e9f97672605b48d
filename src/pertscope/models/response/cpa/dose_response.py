"""Learned curves of doses as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pertscope.models.encoding import Vocabulary

N_DOSES = 25


def has_curves(vocabulary: Vocabulary) -> bool:
    """Whether perturbations have doses, and a curve each: vectors in common leave no place."""
    return vocabulary.doses is not None and vocabulary.embedding is None


def dose_response(
    curves: torch.nn.Module, vocabulary: Vocabulary, doses: Sequence[float] | None
) -> pd.DataFrame:
    """Share of its effect that each perturbation has at each dose, ``(doses, perturbations)``."""
    scale = vocabulary.doses
    if scale is None or not has_curves(vocabulary):
        raise ValueError(
            "there are no curves of doses: train on a screen whose doses are registered "
            "(`dose_key=...`), without `perturbation_embedding`."
        )
    if doses is None:
        doses = [0.0, *np.geomspace(scale.lowest, scale.highest, N_DOSES)]
    asked = np.asarray(doses, dtype=np.float64)
    if asked.ndim != 1 or not (np.isfinite(asked) & (asked >= 0)).all():
        raise ValueError(f"`doses`={doses!r} must be a list of numbers, none of them negative.")
    names = list(vocabulary.perturbations)
    scaled = torch.from_numpy(scale.scaled(asked).astype(np.float32))
    with torch.inference_mode():
        shares = curves(scaled[:, None].expand(-1, len(names)))
    return pd.DataFrame(shares.numpy(), pd.Index(asked, name="dose"), pd.Index(names))
