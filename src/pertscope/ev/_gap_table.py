"""Table of gains over the floor and of the gap that is closed, and what it says in a line."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.messages import listed
from pertscope._core.statistics import FLOAT32_ROUNDING
from pertscope._core.unseen import is_bound
from pertscope.ev._gap_intervals import MEAN, SUMMARIES, interval, resampled, share
from pertscope.ev._score import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pertscope.ev._gap_inputs import Scored

SUMMARY, GAP_CLOSED, GAIN = "summary", "gap_closed", "gain"
BEATS_FLOOR, RANK, N_CONDITIONS = "beats_floor", "rank", "n_conditions"
NUMBERS = (
    *(keys.VALUE, keys.FLOOR, keys.CEILING),
    *(GAP_CLOSED, "ci_low", "ci_high"),
    *(GAIN, "gain_low", "gain_high"),
)


@dataclass(frozen=True)
class Gap:
    """How scores are held against a floor and a ceiling.

    Attributes
    ----------
    floor
        Name of the floor.
    sign
        1 where higher is better, -1 where lower is.
    confidence
        Coverage of the intervals of the share of the gap.
    together
        Coverage of each gain's interval, so that all of them hold together.
    seed
        Seed of the bootstrap.
    """

    floor: str
    sign: int
    confidence: float
    together: float
    seed: int

    def judge(
        self, values: pd.DataFrame, ceiling: np.ndarray | None, units: np.ndarray
    ) -> pd.DataFrame:
        """One row per prediction and summary; only those that have all conditions are ranked.

        Parameters
        ----------
        values
            Scores ``(conditions, predictions)``.
        ceiling
            Ceilings ``(conditions,)``, if there are.
        units
            Perturbation of each condition, int64.
        """
        needed = values[self.floor].notna().to_numpy()
        if ceiling is not None:
            needed &= ~np.isnan(ceiling)
        known = values.notna().to_numpy() & needed[:, None]
        alike: dict[bytes, list[str]] = {}  # predictions that have the same conditions
        for name, rows in zip(values.columns, known.T, strict=True):
            alike.setdefault(rows.tobytes(), []).append(name)
        parts = []
        for key, names in alike.items():
            rows = np.flatnonzero(np.frombuffer(key, bool))
            bounds = [values[self.floor].to_numpy()[rows]]
            bounds += [] if ceiling is None else [ceiling[rows]]
            columns = np.column_stack([*bounds, values[names].to_numpy()[rows]])
            parts.append(self._judge_known(columns, names, units[rows], len(bounds)))
        table = pd.concat(parts, ignore_index=True)
        table = table.astype({N_CONDITIONS: np.int64, BEATS_FLOOR: bool})
        whole = table[table[N_CONDITIONS] == table[N_CONDITIONS].max()]
        table[RANK] = whole.groupby(SUMMARY)[keys.VALUE].rank(ascending=self.sign < 0)
        place = {name: i for i, name in enumerate(values.columns)}
        order = table[keys.PREDICTION].map(place).to_numpy()
        return table.iloc[np.argsort(order, kind="stable")]

    def _judge_known(
        self, columns: np.ndarray, names: list[str], units: np.ndarray, n_bounds: int
    ) -> pd.DataFrame:
        """Rows of predictions, from columns floor, ceiling if there is one, and predictions."""
        start = {N_CONDITIONS: len(columns), BEATS_FLOOR: False, **dict.fromkeys(NUMBERS, np.nan)}
        if not len(columns):
            rows = [{keys.PREDICTION: n, SUMMARY: s, **start} for n in names for s in SUMMARIES]
            return pd.DataFrame(rows)
        floor, scores = columns[:, :1], columns[:, n_bounds:]
        same = np.abs(scores - floor) <= FLOAT32_ROUNDING * np.abs(floor)
        columns = np.column_stack([columns[:, :n_bounds], np.where(same, floor, scores)])
        codes = pd.factorize(units)[0]
        observed, samples = resampled(columns, codes, seed=self.seed)
        parts = []
        for summary in SUMMARIES:
            seen, drawn = observed[summary], samples[summary]
            gain, gains = (self.sign * (x[..., n_bounds:] - x[..., :1]) for x in (seen, drawn))
            n_units = int(codes.max()) + 1
            sure = interval(gain, gains, n_units=n_units, confidence=self.together)
            part = pd.DataFrame({keys.PREDICTION: names, SUMMARY: summary, **start})
            part[keys.VALUE], part[keys.FLOOR] = seen[n_bounds:], seen[0]
            part[GAIN], part["gain_low"], part["gain_high"] = sure.value, sure.low, sure.high
            part[BEATS_FLOOR] = sure.low > 0
            if n_bounds > 1:
                gap, gaps = (self.sign * (x[..., 1:2] - x[..., :1]) for x in (seen, drawn))
                closed = interval(
                    share(gain, gap),
                    share(gains, gaps),
                    n_units=n_units,
                    confidence=self.confidence,
                )
                part[keys.CEILING], part[GAP_CLOSED] = seen[1], closed.value
                part["ci_low"], part["ci_high"] = closed.low, closed.high
            parts.append(part)
        return pd.concat(parts, ignore_index=True)


def gap_table(scored: Scored, ceiling: np.ndarray | None, gap: Gap, metric: str) -> pd.DataFrame:
    """Rows of all combinations of covariates, folds, predictions and summaries.

    Warns
    -----
    UserWarning
        If predictions lack conditions that others have: they are not ranked there.
    """
    units = pd.factorize(scored.table[keys.PERTURBATION])[0]
    covariates = list(scored.table.columns[:-2])
    parts = []
    for where, rows in _groups(scored, covariates):
        part = gap.judge(
            scored.values.iloc[rows], None if ceiling is None else ceiling[rows], units[rows]
        )
        parts.append(part.assign(**where, **{keys.METRIC: metric, keys.FLOOR_NAME: gap.floor}))
    table = pd.concat(parts, ignore_index=True)
    unranked = table.loc[table[RANK].isna(), keys.PREDICTION].unique()
    if len(unranked):
        warnings.warn(
            f"{len(unranked)} prediction(s) were not judged on all conditions that others were, "
            f"and have no rank there: {listed(unranked)}.",
            UserWarning,
            stacklevel=3,
        )
    first = [keys.PREDICTION, *covariates, keys.FOLD, keys.METRIC, keys.FLOOR_NAME, SUMMARY]
    table = table[[*first, *NUMBERS, BEATS_FLOOR, RANK, N_CONDITIONS]]
    for column in first:
        table[column] = pd.Categorical(table[column], categories=table[column].unique())
    table.index = table.index.astype(str)
    return table


def _groups(scored: Scored, covariates: list[str]) -> Iterator[tuple[dict[str, str], np.ndarray]]:
    """All conditions together, each combination of covariates, and each fold of these."""
    everything = np.arange(len(scored.table))
    contexts = [np.flatnonzero(scored.context == c) for c in np.unique(scored.context)]
    fold = scored.table[keys.FOLD]
    if len(contexts) > 1:
        yield dict.fromkeys([*covariates, keys.FOLD], EVERY), everything
    for rows in contexts:
        of = scored.table.iloc[rows[0]]
        where = {k: str(of[k]) for k in covariates}
        yield where | {keys.FOLD: EVERY}, rows
        for name in sorted(fold.iloc[rows].dropna().unique()):
            yield where | {keys.FOLD: name}, rows[(fold.iloc[rows] == name).to_numpy()]


def of_all(table: pd.DataFrame, summary: str = MEAN) -> pd.DataFrame:
    """Rows of all conditions together: the first of each prediction."""
    rows = table[(table[keys.FOLD] == EVERY) & (table[SUMMARY] == summary)]
    return rows.drop_duplicates(keys.PREDICTION)


def verdict(table: pd.DataFrame, gap: Gap, n_perturbations: int) -> str:
    """Whether any prediction beats the floor, in a line or two."""
    rows = of_all(table)
    metric = str(rows[keys.METRIC].iloc[0])
    rows = rows[[not is_bound(str(p)) and str(p) != gap.floor for p in rows[keys.PREDICTION]]]
    if rows.empty:
        return f"{metric}: only bounds were judged."
    how = (
        f"{100 * gap.confidence:g} % intervals of the difference over {n_perturbations} "
        f"perturbations{', for all of them together' if len(rows) > 1 else ''}"
    )
    rows = rows.sort_values(GAIN, ascending=False, kind="stable")
    won = rows[rows[BEATS_FLOOR]]
    if won.empty:
        best = rows.iloc[0]
        return (
            f"{metric}: none of {len(rows)} prediction(s) beats {gap.floor!r} convincingly "
            f"({how}). The best, {str(best[keys.PREDICTION])!r}, gains {best[GAIN]:.3g} "
            f"[{best['gain_low']:.3g}, {best['gain_high']:.3g}]."
        )
    said = f"{metric}: {len(won)} of {len(rows)} prediction(s) beat {gap.floor!r} ({how}): "
    said += f"{listed(won[keys.PREDICTION])}."
    closed = won[won[GAP_CLOSED].notna()]
    if not closed.empty:
        best = closed.loc[closed[GAP_CLOSED].idxmax()]
        said += (
            f" {str(best[keys.PREDICTION])!r} closes {100 * best[GAP_CLOSED]:.0f} % "
            f"[{100 * best['ci_low']:.0f}, {100 * best['ci_high']:.0f}] of the gap to the ceiling."
        )
    return said
