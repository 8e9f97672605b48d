"""Draw the figures of a report as PNG."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pertscope import pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pertscope.cli._judgement import Judgement

DPI = 120

SCORES, RANKS, SIMILARITY, PAIR = "Scores", "Ranks", "Similarity of conditions", "Head to head"
CAPTIONS = {
    SCORES: "Mean over conditions with its bootstrap interval, best prediction at the top.",
    RANKS: "Rank of every condition. Random predictions are spread evenly from 0 to 1.",
    SIMILARITY: "Cosine between the effects of all pairs of conditions, observed and predicted. A "
    "collapsed prediction is the same colour everywhere.",
    PAIR: "Score of the first prediction against the second, one point per condition.",
}


@dataclass(frozen=True)
class Figure:
    """One figure of a report.

    Attributes
    ----------
    png
        The picture; empty where it could not be drawn.
    reason
        Why it could not be drawn.
    """

    title: str
    caption: str
    png: bytes = b""
    reason: str = ""


def draw(found: Judgement) -> list[Figure]:
    """All figures that the judgement allows, and why others are missing."""
    return [_figure(*plan) for plan in _plans(found)]


def _plans(found: Judgement) -> Iterator[tuple[str, Callable[[], object]]]:
    """Title and function of each figure."""
    adata, names, metrics = found.adata, list(found.files), list(found.scores["mean"].columns)
    yield SCORES, lambda: pl.scores(adata)
    ranks = [m for m in metrics if "_rank_" in m or "discrimination" in m]
    if ranks:
        yield RANKS, lambda: pl.rank_distribution(adata, names, metric=ranks[0])
    yield SIMILARITY, lambda: pl.similarity(adata, names, statistic="effect", split=found.split)
    if len(names) > 1:
        yield PAIR, lambda: pl.comparison(adata, names[0], names[1], metric=metrics[0])


def _figure(title: str, plot: Callable[[], Any]) -> Figure:
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say was said by the judgement
        try:
            drawn = plot()
        except (KeyError, ValueError) as error:
            return Figure(title, CAPTIONS[title], reason=str(error.args[0]))
        figure = (drawn[0] if isinstance(drawn, list) else drawn).figure
        stream = io.BytesIO()
        # without its version, so that the same scores give the same bytes
        figure.savefig(
            stream, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None}
        )
    plt.close(figure)
    return Figure(title, CAPTIONS[title], stream.getvalue())
