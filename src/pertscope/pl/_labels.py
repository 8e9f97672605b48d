"""Names beside points, none over another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

LABEL_GAP = 0.055
"""Least distance of two labels, as a share of the axis."""
LABEL_OFFSET = 0.035
"""Distance of a label from its point, as a share of the axis."""
LONGEST = 30
"""Longer names are shortened, to this many letters."""


def name_points(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    *,
    names: Sequence[str],
    sides: np.ndarray,
    in_columns: bool = False,
) -> None:
    """Write names beside points, moved apart vertically; the axes grow until all names fit.

    Parameters
    ----------
    x, y
        Points, float64 ``(n,)``.
    names
        Name of each.
    sides
        -1 where the name stands on the left of its point, 1 on the right.
    in_columns
        Whether the names of a side stand in one column, beyond all points of that side; both axes
        then keep the same limits.
    """
    if not len(x):
        return
    names = [shortened(name) for name in names]
    widths = 1.15 * _widths(ax, names) + LABEL_OFFSET  # growing axes may shrink on paper
    start = _starts(x, sides) if in_columns else x
    limits = _room(ax, start, y, widths=widths, sides=sides, square=in_columns)
    ax.set_xlim(*limits[0])
    ax.set_ylim(*limits[1])
    (left, right), (bottom, top) = limits
    for i, height in _heights(y, sides, LABEL_GAP * (top - bottom)):
        ax.annotate(
            names[i],
            (x[i], y[i]),
            (start[i] + sides[i] * LABEL_OFFSET * (right - left), height),
            ha="left" if sides[i] > 0 else "right",
            va="center",
            fontsize="x-small",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.6", "shrinkA": 0, "shrinkB": 2},
        )


def _starts(x: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Outermost point of the side of each point."""
    outermost = {side: side * np.max(side * x[sides == side]) for side in np.unique(sides)}
    return np.array([outermost[side] for side in sides])


def shortened(name: str) -> str:
    """Name of at most 30 letters, its middle left out."""
    half = (LONGEST - 1) // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}"


def wrapped(name: str, n_letters: int) -> str:
    """Words of a name, in lines of so many letters."""
    from textwrap import wrap

    return "\n".join(wrap(shortened(name).replace("_", " "), n_letters))


def _widths(ax: Axes, names: Sequence[str]) -> np.ndarray:
    """Widths of names as shares of the horizontal axis."""
    ax.figure.canvas.figure.draw_without_rendering()  # only now the layout is known
    widths = []
    for name in names:
        text = ax.text(0, 0, name, fontsize="x-small")
        widths.append(text.get_window_extent().width)
        text.remove()
    return np.array(widths) / ax.get_window_extent().width


def _room(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    *,
    widths: np.ndarray,
    sides: np.ndarray,
    square: bool,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of both axes that hold all names; wider axes make names wider, hence the loop."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for _ in range(8):
        ends = x + sides * np.minimum(widths, 0.42) * (right - left)
        left, right = min(left, ends.min()), max(right, ends.max())
        gap = LABEL_GAP * (top - bottom)
        heights = [height for _, height in _heights(y, sides, gap)]
        bottom, top = min(bottom, min(heights) - gap / 2), max(top, max(heights) + gap / 2)
        if square:
            left = bottom = min(left, bottom)
            right = top = max(right, top)
    return (left, right), (bottom, top)


def _heights(y: np.ndarray, sides: np.ndarray, gap: float) -> list[tuple[int, float]]:
    """Height of each name, those of one side apart."""
    found: list[tuple[int, float]] = []
    for side in (-1, 1):
        chosen = np.flatnonzero(sides == side)
        chosen = chosen[np.argsort(y[chosen], kind="stable")]
        found.extend(zip(chosen.tolist(), apart(y[chosen], gap).tolist(), strict=True))
    return found


def apart(y: np.ndarray, gap: float) -> np.ndarray:
    """Sorted heights moved at least `gap` apart, each crowd staying around its own middle."""
    crowds: list[list[float]] = []
    for value in y:
        crowds.append([float(value)])
        while len(crowds) > 1 and _top(crowds[-2], gap) + gap > _bottom(crowds[-1], gap):
            last = crowds.pop()
            crowds[-1].extend(last)
    return np.array([_bottom(c, gap) + i * gap for c in crowds for i in range(len(c))])


def _bottom(crowd: list[float], gap: float) -> float:
    return float(np.mean(crowd)) - gap * (len(crowd) - 1) / 2


def _top(crowd: list[float], gap: float) -> float:
    return float(np.mean(crowd)) + gap * (len(crowd) - 1) / 2
