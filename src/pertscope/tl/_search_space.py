"""In which ranges settings are searched."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pertscope import models
from pertscope._core.messages import listed

if TYPE_CHECKING:
    from optuna.trial import Trial

    from pertscope.tl._candidate import Candidate

PUBLISHED = Path(models.__file__).with_name("search_spaces.yaml")
CHOICES, LOW, HIGH, STEP, LOG, ONLY_WITH = "choices", "low", "high", "step", "log", "only_with"
FORMS = ({CHOICES}, {LOW, HIGH}, {LOW, HIGH, STEP}, {LOW, HIGH, LOG})
SCALARS = (bool, int, float, str, type(None))

IN_ANY_LOSS = ("likelihood",)
"""Settings that validation depends on by themselves: losses under different ones do not compare."""
IN_LOSS_OF = {"generative": ("path", "n_components", "sigma")}
"""Further ones of some models."""

Space = dict[str, dict[str, Any]]
"""Setting -> range, in the form of ``models/search_spaces.yaml``."""


def search_space_of(candidate: Candidate, space: Mapping[str, Any] | None) -> Space:
    """Ranges of the settings that are not fixed: the caller's, or the published ones.

    Raises
    ------
    ValueError
        If the model has nothing to tune, a setting is unknown, or a range is malformed.
    """
    if space is None:
        known = published_spaces()
        if candidate.name not in known:
            raise ValueError(
                f"{candidate.name!r} has nothing to tune; {listed(known, len(known))} have, or "
                "pass a `search_space`."
            )
        space = {k: v for k, v in known[candidate.name].items() if k not in candidate.fixed}
    else:
        twice = sorted(set(space) & set(candidate.fixed))
        if twice:
            raise ValueError(f"{listed(twice)} cannot be both fixed and in `search_space`.")
    if not space:
        raise ValueError("nothing is left to tune: `search_space` is empty, or all of it is fixed.")
    candidate.require_settings(space)
    return {name: _checked(name, entry, candidate) for name, entry in space.items()}


@cache
def published_spaces() -> dict[str, Space]:
    """Model -> setting -> range; not to be changed."""
    import yaml

    return yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))


def _checked(name: str, entry: Any, candidate: Candidate) -> dict[str, Any]:
    """Entry of a search space, or an error that says what is wrong with it."""
    where = f"`search_space[{name!r}]`"
    if not isinstance(entry, Mapping) or set(entry) - {ONLY_WITH} not in FORMS:
        raise ValueError(
            f"{where}={entry!r} must be {{'choices': [...]}} or {{'low': ..., 'high': ...}}, the "
            "latter with 'step' or with 'log'."
        )
    if CHOICES in entry:
        choices = entry[CHOICES]
        plain = isinstance(choices, list | tuple) and all(isinstance(c, SCALARS) for c in choices)
        if not plain or not choices:
            raise ValueError(f"{where}: choices must be a list of numbers, strings or booleans.")
    elif not entry[LOW] <= entry[HIGH] or (entry.get(LOG) and not entry[LOW] > 0):
        raise ValueError(
            f"{where}: 'low'={entry[LOW]} must not exceed 'high'={entry[HIGH]}, and must be "
            "positive on the logarithmic scale."
        )
    candidate.require_settings(entry.get(ONLY_WITH, {}))
    return {k: list(v) if k == CHOICES else v for k, v in entry.items()}


def suggest(trial: Trial, space: Space, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Draw the settings of a trial.

    Parameters
    ----------
    trial
        Optuna's trial.
    space
        Ranges.
    settings
        Fixed settings and defaults, on which conditional ranges depend.
    """
    chosen: dict[str, Any] = {}
    for name, entry in space.items():
        current = {**settings, **chosen}
        if any(current[k] != v for k, v in entry.get(ONLY_WITH, {}).items()):
            continue
        if CHOICES in entry:
            chosen[name] = trial.suggest_categorical(name, entry[CHOICES])
            continue
        low, high, log = entry[LOW], entry[HIGH], bool(entry.get(LOG))
        if all(isinstance(v, int) for v in (low, high, entry.get(STEP, 1))):
            chosen[name] = trial.suggest_int(name, low, high, step=entry.get(STEP, 1), log=log)
        else:
            chosen[name] = trial.suggest_float(name, low, high, step=entry.get(STEP), log=log)
    return chosen


def losses_compare(model: str, space: Space) -> bool:
    """Whether validation losses of a model's trials can be compared."""
    return not set(space) & {*IN_ANY_LOSS, *IN_LOSS_OF.get(model, ())}
