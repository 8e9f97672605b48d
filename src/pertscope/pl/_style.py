"""What all plots look like: colours, directions, titles, grids of panels, legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pertscope._core.messages import nearest
from pertscope.ev._metrics import full_names, higher_is_better

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

# the colours of Okabe and Ito, which the colour-blind tell apart, without yellow and black
BLUE, VERMILION, GREEN, PINK, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
"""Lines of the predictions that come after all colours are taken."""

RANDOM_RANK = 0.5
CHANCE_LINE: dict[str, Any] = {"color": "0.35", "ls": ":", "lw": 1.2, "zorder": 1}


def direction(metric: str) -> bool | None:
    """Whether higher is better; ``None`` where neither is, or nobody said."""
    try:
        return higher_is_better(metric)
    except KeyError:
        return None


def better(metric: str) -> str:
    """``"lower is better"``, or nothing for a metric without a better."""
    return {True: "higher is better", False: "lower is better", None: ""}[direction(metric)]


def axis_label(metric: str) -> str:
    """Name of a metric, and its direction where it has one."""
    said = better(metric)
    return f"{metric} ({said})" if said else metric


def is_rank(metric: str) -> bool:
    """Whether a random prediction has a mean of one half."""
    return "rank" in metric or "discrimination" in metric


def metric_title(metric: str) -> str:
    """Metric and statistic on two lines."""
    name, statistic = full_names().get(metric) or metric.rsplit("_", 1)
    return f"{name}\n{statistic}"


def line_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and dashes of each prediction: the same in every plot of a screen."""
    colors = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY)
    return {
        name: {"color": colors[i % 6], "ls": DASHES[i // 6 % len(DASHES)]}
        for i, name in enumerate(names)
    }


def chosen_names(known: Sequence[str], wanted: str | Sequence[str] | None) -> list[str]:
    """Names of scored predictions, all by default.

    Raises
    ------
    KeyError
        If one was not scored.
    """
    names = list(known) if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in known:
            raise KeyError(f"no scores of prediction {name!r}; {nearest(name, known)}.")
    return names


def panels(
    n: int,
    axes: Sequence[Axes] | None,
    *,
    what: str,
    size: tuple[float, float],
    extra_width: float = 0.0,
    n_columns: int = 4,
    share_y: bool = False,
) -> list[Axes]:
    """`n` Axes: those given, or a new figure of panels of `size` inches in rows of `n_columns`.

    Raises
    ------
    ValueError
        If the Axes given are not as many as needed.
    """
    if axes is not None:
        if len(axes) != n:
            raise ValueError(f"`axes` holds {len(axes)} Axes for {n} {what}.")
        return list(axes)
    import matplotlib.pyplot as plt

    n_rows = -(-n // n_columns)
    columns = -(-n // n_rows)  # rows of about the same length
    _, grid = plt.subplots(
        n_rows,
        columns,
        figsize=(extra_width + size[0] * columns, size[1] * n_rows),
        sharey=share_y,
        squeeze=False,
        layout="constrained",
    )
    for unused in grid.ravel()[n:]:
        unused.remove()
    return list(grid.ravel()[:n])


def end_of_first_row(axes: Sequence[Axes]) -> Axes:
    """The panel beside which a legend is not between panels."""
    first = axes[0].get_subplotspec()
    if first is None:
        return axes[-1]
    specs = {ax: ax.get_subplotspec() for ax in axes}
    return [ax for ax, spec in specs.items() if spec and spec.rowspan == first.rowspan][-1]


def starts_row(ax: Axes) -> bool:
    """Whether a panel has nothing on its left."""
    spec = ax.get_subplotspec()
    return spec is None or spec.is_first_col()


def one_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The Axes given, or that of a new figure of `size` inches."""
    return panels(1, None if ax is None else [ax], what="plot", size=size)[0]


def tidy(ax: Axes, *, grid: Literal["x", "y"] | None = None) -> None:
    """Remove what carries nothing; `grid` lines along one axis."""
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(axis=grid, color="0.92")
        ax.set_axisbelow(True)


def legend_beside(ax: Axes, handles: Sequence[Any] | None = None, *, title: str = "") -> None:
    """Legend to the right of an Axes, where it covers nothing."""
    how: dict[str, Any] = {} if handles is None else {"handles": handles}
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0,
        frameon=False,
        fontsize="small",
        title=title or None,
        title_fontsize="small",
        alignment="left",
        **how,
    )


def text_width(names: Iterable[str]) -> float:
    """Width of the longest name in small letters, in inches, about."""
    return 0.08 * max(map(len, names), default=0)
