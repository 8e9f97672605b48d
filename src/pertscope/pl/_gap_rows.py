"""Rows of a table of ``ps.ev.gap_closed``, as plots need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pertscope._core import keys
from pertscope._core.keys import FOLD
from pertscope._core.unseen import is_bound
from pertscope.ev._gap_intervals import SUMMARIES
from pertscope.ev._gap_table import BEATS_FLOOR, GAIN, GAP_CLOSED, RANK, SUMMARY, of_all
from pertscope.ev._score import EVERY
from pertscope.pl._tables import judged_table

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

COLUMNS = (keys.PREDICTION, FOLD, SUMMARY, GAP_CLOSED, GAIN, BEATS_FLOOR, RANK, keys.FLOOR_NAME)


@dataclass(frozen=True)
class GapRows:
    """Rows of one summary.

    Attributes
    ----------
    metric
        Name of the metric.
    floor
        Name of the floor.
    candidates
        Predictions that are no bounds, the best first, by all conditions; those without a rank are
        last.
    whole
        Combination of covariates -> its rows over all folds, indexed by prediction.
    folds
        Combination of covariates -> its rows of each fold.
    """

    metric: str
    floor: str
    candidates: list[str]
    whole: dict[str, pd.DataFrame]
    folds: dict[str, pd.DataFrame]


def gap_rows(adata: AnnData, key: str, summary: str) -> GapRows:
    """Read a table that ``ps.ev.gap_closed`` wrote.

    Raises
    ------
    KeyError
        If there is none.
    ValueError
        If it is another table, the summary is unknown, or it holds only bounds.
    """
    table = judged_table(adata, key, function="gap_closed", columns=COLUMNS)
    if summary not in SUMMARIES:
        raise ValueError(f"`summary`={summary!r} must be one of {SUMMARIES}.")
    texts = list(table.columns[: list(table.columns).index(SUMMARY) + 1])
    table = table.astype(dict.fromkeys(texts, str))
    covariates = texts[1 : texts.index(FOLD)]
    rows = table[table[SUMMARY] == summary]
    metric, floor = str(rows[keys.METRIC].iloc[0]), str(rows[keys.FLOOR_NAME].iloc[0])
    ranked = of_all(rows, summary).sort_values(RANK, kind="stable")[keys.PREDICTION]
    candidates = [p for p in ranked if not is_bound(p) and p != floor]
    if not candidates:
        raise ValueError(f"`.uns[{key!r}]` holds only bounds: there is nothing to show.")
    where = rows[covariates].agg("|".join, axis=1) if covariates else rows[FOLD].map(lambda _: "")
    names = list(where.unique())
    pooled = "|".join([EVERY] * len(covariates))
    if len(names) > 1:
        names.remove(pooled)
    each = {name: rows[where == name] for name in names}
    return GapRows(
        metric=metric,
        floor=floor,
        candidates=candidates,
        whole={n: r[r[FOLD] == EVERY].set_index(keys.PREDICTION) for n, r in each.items()},
        folds={n: r[r[FOLD] != EVERY] for n, r in each.items()},
    )
