"""What every ``fit_*`` function does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pertscope._core.keys import check_key
from pertscope._core.predictions import align_prediction, store_prediction
from pertscope._core.screen import require_actual
from pertscope.models.checks import require_positive
from pertscope.tl._preset import with_preset

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from pertscope.models.base import ResponseModel


M = TypeVar("M", bound="ResponseModel")


def train_and_predict(
    adata: AnnData,
    make: Callable[[AnnData], M],
    key_added: str,
    *,
    preset: str | None = None,
    max_controls: int | None = None,
    **train_kwargs: Any,
) -> M:
    """Train a model, keep its prediction of the val and test conditions in `adata`, return it."""
    check_key(key_added)
    require_positive(max_controls=max_controls)
    if isinstance(make, partial):
        make, train_kwargs = with_preset(make, preset, train_kwargs)
    require_actual(adata)
    model = make(adata)
    model.train(**train_kwargs)
    seed = model.settings.get("seed", 0)
    keep_prediction(adata, model, model.predict(max_controls=max_controls, seed=seed), key_added)
    return model


def keep_prediction(
    adata: AnnData, model: ResponseModel, prediction: AnnData, key_added: str
) -> None:
    """Keep a model's prediction in `adata`."""
    store_prediction(adata, key_added, align_prediction(prediction, adata, model.screen))
