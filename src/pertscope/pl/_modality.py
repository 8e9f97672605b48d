"""Colours of predictions by what they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pertscope.pl._style import BLUE, GREEN, ORANGE, PINK, SKY, VERMILION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLORS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, "#5D3A9B", "#7F4F24", "#999933", "#AA4466")
OTHER, OTHER_COLOR = "other", "0.55"


def modalities(names: Sequence[str], modality: Mapping[str, str] | None) -> list[str]:
    """Modality of each prediction or embedding; ``"other"`` where none is given.

    A key is the name of a prediction, ``"knn_string"``, or of its embedding, ``"string"``; of
    several that fit, the longest is taken.
    """
    if modality is None:
        return [OTHER] * len(names)
    found = []
    for name in names:
        fitting = [k for k in modality if name == k or name.endswith(f"_{k}")]
        found.append(str(modality[max(fitting, key=len)]) if fitting else OTHER)
    return found


def modality_colors(found: Sequence[str], modality: Mapping[str, str] | None) -> dict[str, str]:
    """Colour of each modality that occurs: the same in every plot that is given the same dict."""
    every = dict.fromkeys(map(str, (modality or {}).values()))
    colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(every)}
    colors[OTHER] = colors.get(OTHER, BLUE if modality is None else OTHER_COLOR)
    return {name: color for name, color in colors.items() if name in found}


def modality_handles(colors: Mapping[str, str]) -> list[Any]:
    """What a legend says of modalities; nothing if none was given."""
    from matplotlib.patches import Patch

    if set(colors) == {OTHER}:
        return []
    return [Patch(color=color, label=name) for name, color in colors.items()]
