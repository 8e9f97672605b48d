"""What a model is tuned on: the validation conditions."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import matrix_of
from pertscope._core.screen import Screen
from pertscope._core.splits import split_of
from pertscope.ev._comparison import Options
from pertscope.ev._judged import observe, predicted
from pertscope.ev._populations import take_rows
from pertscope.ev._score import score
from pertscope.tl._train_and_predict import keep_prediction

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.base import ResponseModel

OBJECTIVE, RMSE, RANK = "objective", "rmse_mean", "rmse_rank_mean"
RANK_WEIGHT = 0.1
TRIAL = "trial"


class Validation:
    """The validation conditions of a screen, and the controls that are in no test.

    Cells of the test part are not in it: they cannot influence what it says.

    Parameters
    ----------
    adata
        Registered, split screen.
    """

    def __init__(self, adata: AnnData) -> None:
        self._screen = _without_test(adata)
        self._judged = observe(self._screen, keys.VAL)
        context = self._judged.conditions.context
        self._ranked = bool((np.bincount(context) > 1).any())
        if not self._ranked:
            warnings.warn(
                "no two validation conditions share their covariates, so that none can be ranked: "
                "tuned by their error alone.",
                UserWarning,
                stacklevel=3,
            )

    @property
    def identity(self) -> str:
        """What tells validation sets apart: conditions, their cells and means, genes; a hash."""
        found = self._judged.side.moments
        names = [*self._judged.conditions.index, *map(str, found.n), *self._screen.var_names, ""]
        return hashlib.sha256("\n".join(names).encode() + coarse(found.mean)).hexdigest()[:16]

    def score(self, model: ResponseModel) -> dict[str, float]:
        """``objective = RMSE + 0.1 rank``, and its parts, each a mean over conditions.

        Raises
        ------
        ValueError
            If a predicted value is not finite.
        """
        keep_prediction(self._screen, model, model.predict(adata=self._screen), TRIAL)
        found = predicted(self._screen, self._judged, TRIAL, options=Options(), warn=True)
        ((_, _, comparison),) = found
        scores = score(comparison, [("rmse", "mean"), ("rmse_rank", "mean")])
        rmse = float(scores["rmse", "mean"].mean())
        rank = float(np.nanmean(scores["rmse_rank", "mean"])) if self._ranked else float("nan")
        total = rmse + (RANK_WEIGHT * rank if self._ranked else 0.0)
        return {OBJECTIVE: total, RMSE: rmse, RANK: rank}


def coarse(mean: np.ndarray) -> bytes:
    """Means to 4096ths of the largest: other machines may sum in another order."""
    largest = float(np.abs(mean).max())
    parts = np.rint(mean / (largest or 1.0) * 4096).astype("<i2")
    return f"{largest:.6g}".encode() + parts.tobytes()


def _without_test(adata: AnnData) -> AnnData:
    """Validation cells, and controls of train and val, as a registered screen in memory."""
    import anndata as ad

    screen = Screen.of(adata)
    conditions = screen_conditions(adata, screen)
    part = split_of(adata, conditions)
    is_control = conditions.is_control[conditions.codes]
    rows = np.flatnonzero((part == keys.VAL) | (is_control & (part != keys.TEST)))
    x = take_rows(matrix_of(adata, screen.layer), rows)
    kept = ad.AnnData(
        X=x if screen.layer is None else None,
        obs=adata.obs.iloc[rows].copy(),
        var=adata.var[[]].copy(),
        layers=None if screen.layer is None else {screen.layer: x},
        obsm={
            k: v.iloc[rows] if hasattr(v, "iloc") else take_rows(v, rows)
            for k, v in adata.obsm.items()
        },
        uns={k: v for k, v in adata.uns.items() if k != keys.UNS},
    )
    own = {k: v for k, v in adata.uns[keys.UNS].items() if k != keys.PREDICTIONS}
    kept.uns[keys.UNS] = own
    return kept
