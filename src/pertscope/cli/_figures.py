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

DPI = 160
PIXELS_PER_INCH = 96
"""Of a page; a figure has more of them, so that it is sharp on a fine screen."""

SCORES, RANKS, SIMILARITY, PAIR = "Scores", "Ranks", "Similarity of conditions", "Head to head"
CAPTIONS = {
    SCORES: "Mean over conditions with its bootstrap interval; at the top the prediction that is "
    "best by the first metric.",
    RANKS: "Rank of every condition. Random predictions are spread evenly from 0 to 1.",
    SIMILARITY: "Cosine between the effects of all pairs of conditions, observed and predicted. A "
    "good prediction repeats the pattern of the observation; a collapsed one has a single colour, "
    "or one for each pair of sets of covariates. Grey: not predicted.",
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

    @property
    def width(self) -> int:
        """Width on a page, in its pixels, at which the text of all figures has the same size."""
        return int.from_bytes(self.png[16:20], "big") * PIXELS_PER_INCH // DPI


def draw(found: Judgement) -> list[Figure]:
    """All figures that the judgement allows, and why others are missing."""
    return [_figure(*plan) for plan in _plans(found)]


def _plans(found: Judgement) -> Iterator[tuple[str, Callable[[], object]]]:
    """Title and function of each figure."""
    adata, names, metrics = found.adata, list(found.files), list(found.scores["mean"].columns)
    yield SCORES, lambda: pl.scores(adata)
    ranks = [m for m in metrics if "_rank_" in m or "discrimination" in m]
    if ranks:
        yield RANKS, lambda: _ranks(found, ranks)
    yield SIMILARITY, lambda: _similarity(found)
    if len(names) > 1:
        yield PAIR, lambda: pl.comparison(adata, names[0], names[1], metric=metrics[0])


def _ranks(found: Judgement, metrics: list[str]) -> object:
    """Ranks by the first metric that has any."""
    known = [m for m in metrics if found.scores["mean"][m].notna().any()]
    if not known:
        raise ValueError(
            "no prediction has two conditions of the same covariates, so that none has a rank."
        )
    return pl.rank_distribution(found.adata, list(found.files), metric=known[0])


def _similarity(found: Judgement) -> object:
    """Similarities of the conditions of at least one prediction."""
    names = list(found.files)
    if max(map(found.n_judged, names)) < 2:
        raise ValueError("no prediction has two conditions to compare with each other.")
    return pl.similarity(found.adata, names, statistic="effect", split=found.split)


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
