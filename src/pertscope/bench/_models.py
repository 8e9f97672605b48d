"""What is to be run: settings of a model, or a prediction made elsewhere, under a name."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad

from pertscope import tl
from pertscope._core.messages import nearest
from pertscope.models._registry import MODELS
from pertscope.tl._candidate import OF_ONE_TRAINING, refuse_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOOR, CEILING = "floor", "ceiling"
MODEL, PREDICTION = "model", "prediction"
SEED_IN_PATH = "{seed}"
SET_BY_RUN = ("adata", "seed", "key_added", "on_epoch", *OF_ONE_TRAINING)


@dataclass(frozen=True)
class ModelSpec:
    """One row of the table to be.

    Attributes
    ----------
    name
        What the table calls it.
    model
        Name in the registry of models; empty for a prediction made elsewhere.
    settings
        Arguments of its ``fit_*`` function.
    prediction
        A prediction made elsewhere, or the path of its file, which may hold ``{seed}``.
    """

    name: str
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    prediction: ad.AnnData | str | None = None

    @property
    def has_one_prediction(self) -> bool:
        """Whether one prediction made elsewhere stands for all seeds."""
        made = self.prediction
        return made is not None and not (isinstance(made, str) and SEED_IN_PATH in made)

    def prediction_of(self, seed: int) -> ad.AnnData | Path | None:
        """The prediction made elsewhere for a seed."""
        if isinstance(self.prediction, str):
            return Path(self.prediction.replace(SEED_IN_PATH, str(seed)))
        return self.prediction


def model_specs(
    models: str | Sequence[str] | Mapping[str, Any], common: Mapping[str, Any]
) -> list[ModelSpec]:
    """Read and check the `models` of a run; `common` are settings of all networks.

    Raises
    ------
    TypeError
        If something is neither name, settings nor prediction, or JSON cannot hold a setting.
    ValueError
        If a model or setting does not exist.
    """
    if isinstance(models, str):
        models = [models]
    entries = models if isinstance(models, Mapping) else {name: name for name in models}
    if not entries:
        raise ValueError("`models` is empty: name at least one.")
    return [_spec(str(name), entry, common) for name, entry in entries.items()]


def _spec(name: str, entry: Any, common: Mapping[str, Any]) -> ModelSpec:
    if name in (FLOOR, CEILING):
        raise ValueError(f"a model cannot be called {name!r}: the table has a row of that name.")
    if isinstance(entry, ad.AnnData):
        return ModelSpec(name, prediction=entry)
    if isinstance(entry, str | Path):
        entry = {PREDICTION: str(entry)} if str(entry).endswith(".h5ad") else {MODEL: str(entry)}
    if not isinstance(entry, Mapping):
        raise TypeError(
            f"model {name!r}: expected the name of a model, its settings {{'model': 'cpa', ...}}, "
            f"or a prediction (AnnData or .h5ad file), not {type(entry).__name__}."
        )
    settings = dict(entry)
    prediction = settings.pop(PREDICTION, None)
    if prediction is not None:
        if settings:
            raise ValueError(f"model {name!r}: a prediction made elsewhere takes no settings.")
        held = prediction if isinstance(prediction, ad.AnnData) else str(prediction)
        return ModelSpec(name, prediction=held)
    model = settings.pop(MODEL, name)
    model = {entry.class_name: key for key, entry in MODELS.items()}.get(model, model)
    if model not in MODELS:
        raise ValueError(f"model {name!r}: there is no {model!r}; {nearest(model, MODELS)}.")
    if MODELS[model].network:
        settings = {**common, **settings}
    _check_settings(name, model, settings)
    return ModelSpec(name, model, settings)


def _check_settings(name: str, model: str, settings: Mapping[str, Any]) -> None:
    refuse_checkpoint(settings, f"model {name!r}")
    known = _known_settings(model)
    for setting in settings:
        if setting not in known:
            raise ValueError(
                f"model {name!r}: fit_{model} has no setting {setting!r}; "
                f"{nearest(setting, known)}."
            )
    try:
        json.dumps(settings)
    except TypeError as error:
        raise TypeError(f"model {name!r}: a setting is no plain value: {error}.") from error


def _known_settings(model: str) -> list[str]:
    """Settings of a model's ``fit_*`` function and, of a network, of its training."""
    functions: list[Any] = [getattr(tl, f"fit_{model}")]
    if MODELS[model].network:
        functions.append(MODELS[model].load().train)
    skipped = (*SET_BY_RUN, "self", "train_kwargs")
    return [n for f in functions for n in inspect.signature(f).parameters if n not in skipped]
