"""Published settings in place of a function's defaults."""

from __future__ import annotations

from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar

from pertscope.models._presets import find_preset

if TYPE_CHECKING:
    from pertscope.models.base import ResponseModel

M = TypeVar("M", bound="ResponseModel")


def with_preset(
    make: partial[M], preset: str | None, train_kwargs: dict[str, Any]
) -> tuple[partial[M], dict[str, Any]]:
    """A model's settings and those of its training, where a preset has replaced the defaults.

    Parameters
    ----------
    make
        The model's class with the settings that the caller passed, or defaults.
    preset
        Name of the preset; without one nothing changes.
    train_kwargs
        What the caller passed for the training.
    """
    if preset is None:
        return make, train_kwargs
    settings, train = find_preset(make.func.name, preset)  # type: ignore[attr-defined]
    defaults = {name: p.default for name, p in signature(make.func).parameters.items()}
    passed = {name: v for name, v in make.keywords.items() if v != defaults[name]}
    return partial(make, **(settings | passed)), train | train_kwargs
