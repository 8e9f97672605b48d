"""Published settings of models, by the screen they were tuned on."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pertscope._core.messages import listed, nearest

if TYPE_CHECKING:
    import pandas as pd

PRESETS = Path(__file__).with_name("presets.yaml")
SETTINGS, TRAIN = "settings", "train"
"""Parts of a preset: of the model, and of its ``train()``."""


def presets(model: str | None = None) -> pd.DataFrame:
    """List the published settings that ``ps.tl.fit_*`` takes as `preset`.

    Parameters
    ----------
    model
        Name of a model, such as ``"latent_additive"``; all by default.

    Returns
    -------
    One row per model, preset and setting: ``model``, ``preset``, ``setting``, ``value`` (object).

    Raises
    ------
    ValueError
        If no preset is known for the model.

    References
    ----------
    Wu et al., PerturBench (2024), section 4.3 and appendix D.6, and the configurations there.

    Examples
    --------
    >>> import pertscope as ps
    >>> ps.models.presets("linear").query("preset == 'norman19'")["setting"].tolist()
    ['lr', 'weight_decay']
    """
    import pandas as pd

    known = read_presets()
    if model is not None and model not in known:
        raise ValueError(f"there are no presets of {model!r}; {nearest(model, known)}.")
    rows = [
        (name, preset, setting, value)
        for name in (known if model is None else [model])
        for preset, parts in known[name].items()
        for setting, value in (parts[SETTINGS] | parts[TRAIN]).items()
    ]
    return pd.DataFrame(rows, columns=["model", "preset", "setting", "value"], dtype=object)


@cache
def read_presets() -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Model -> preset -> part -> settings; not to be changed."""
    import yaml

    return yaml.safe_load(PRESETS.read_text(encoding="utf-8"))


def find_preset(model: str, preset: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the model and of its training.

    Raises
    ------
    ValueError
        If the model has no such preset.
    """
    known = read_presets().get(model, {})
    if preset not in known:
        raise ValueError(f"{model!r} has no preset {preset!r}; there are {listed(known)}.")
    return known[preset][SETTINGS], known[preset][TRAIN]
