"""One page and two tables that say what was judged, what was assumed, and how good it is."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope import get
from pertscope._core import keys
from pertscope._version import __version__
from pertscope.cli._figures import draw
from pertscope.ev._metrics import higher_is_better

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pertscope.cli._figures import Figure
    from pertscope.cli._judgement import Judgement

MEAN, LOW, HIGH, NUMBER = "mean", "ci_low", "ci_high", "n_conditions"
BOUNDS = (keys.FLOOR, keys.CEILING, keys.NORMALISED)
BEST = "★"

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
       color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; }
th { text-align: left; vertical-align: top; font-weight: 600; }
thead th { border-bottom: 2px solid #444; }
tbody tr.first > * { border-top: 1px solid #ccc; }
.best { font-weight: 700; } .small { color: #555; font-size: .85rem; font-weight: 400; }
.warning { border-left: 4px solid #d55e00; padding-left: .7rem; overflow-wrap: anywhere; }
li { overflow-wrap: anywhere; }
figure { margin: 1.5rem 0; } img { max-width: 100%; min-width: min(32rem, 180%); height: auto; }
"""

WORDS = {
    "interval": "95 % bootstrap interval of the mean over conditions",
    "floor": "score of the best guess that knows nothing of the perturbation, and which guess",
    "ceiling": "score that the experiment, done again, would get; for ranks and responding genes "
    "with half as many cells, so that a prediction may exceed it",
    "normalised": "0 is no better than the floor, 1 as good as the ceiling",
    "rank": "share of other predictions that are nearer to the observation than the right one: 0 "
    "is perfect, 0.5 random",
    "n": "number of scores in the mean: conditions, or sets of covariates",
}


def write_report(found: Judgement, path: Path) -> list[Path]:
    """Write the page and, beside it, the tables.

    Returns
    -------
    Paths of the page, of ``<name>_scores.csv``, one row per prediction and metric, and of
    ``<name>_conditions.csv``, one row per prediction, condition and metric.
    """
    scores = path.with_name(f"{path.stem}_scores.csv")
    conditions = path.with_name(f"{path.stem}_conditions.csv")
    long_form(found.scores).to_csv(scores, index=False)
    found.table.to_csv(conditions, index=False)
    path.write_text(page(found, draw(found), [scores.name, conditions.name]), encoding="utf-8")
    return [path, scores, conditions]


def long_form(scores: pd.DataFrame) -> pd.DataFrame:
    """Table of :func:`pertscope.get.scores` with one row per metric and prediction."""
    quantities = list(scores.columns.get_level_values(0).unique())
    rows = []
    for metric in scores[MEAN].columns:
        part = pd.DataFrame({q: scores[q].get(metric) for q in quantities})
        part.insert(0, keys.METRIC, metric)
        rows.append(part.reset_index(names=keys.PREDICTION))
    return pd.concat(rows, ignore_index=True)


def page(found: Judgement, figures: Sequence[Figure], tables: Sequence[str]) -> str:
    """The page, with all figures inside."""
    names = ", ".join(found.files)
    title = f"Predictions of {found.screen_file.name}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(names)}</p>",
        "<h2>What was judged</h2>",
        _facts(found),
        "<h2>What was assumed</h2>",
        _list(found.assumed),
        "<h2>Warnings</h2>",
        _list(found.warnings, kind="warning") if found.warnings else "<p>None.</p>",
        "<h2>Scores</h2>",
        f'<p class="small">{BEST} best of the predictions. Arrows point to the better side.</p>',
        _scores(found),
        "<dl>",
        *(f"<dt><b>{escape(k)}</b></dt><dd>{escape(v)}</dd>" for k, v in WORDS.items()),
        "</dl>",
        "<h2>Figures</h2>",
        *map(_picture, figures),
        "<h2>Tables beside this page</h2>",
        _list(tables),
        f'<p class="small">Made by pertscope {escape(__version__)}.</p>',
    ]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            *body,
            "</body>\n</html>\n",
        ]
    )


def _facts(found: Judgement) -> str:
    summary = get.screen(found.adata)
    controls = (f"{k}: {v:,}" if k else f"{v:,}" for k, v in summary.n_controls.items())
    rows = {
        "screen": found.screen_file.name,
        "cells x genes": f"{summary.n_cells:,} x {summary.n_genes:,}",
        "perturbations": f"{summary.n_perturbations:,}",
        "combinations": f"{summary.n_combinations:,}",
        "conditions": f"{summary.n_conditions:,}, of which {found.n_judged():,} were judged",
        "sets of covariates": f"{len(summary.n_controls):,}",
        "control cells": ", ".join(controls),
    }
    cells = (
        f'<tr><th scope="row">{escape(k)}</th>'
        f'<td style="text-align: left; white-space: normal">{escape(v)}</td></tr>'
        for k, v in rows.items()
    )
    return f'<div class="wide"><table>{"".join(cells)}</table></div>'


def _scores(found: Judgement) -> str:
    """One row per metric and prediction; the best of each metric is marked."""
    scores = found.scores
    bounds = [q for q in BOUNDS if q in scores]
    header = "".join(
        f'<th scope="col">{escape(h)}</th>'
        for h in ("metric", "prediction", MEAN, "interval", *bounds, "n")
    )
    rows = [row for metric in scores[MEAN].columns for row in _rows(found, metric, bounds)]
    return (
        f'<div class="wide"><table class="scores"><thead><tr>{header}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _rows(found: Judgement, metric: str, bounds: Sequence[str]) -> Iterator[str]:
    """Table rows of one metric."""
    table = found.scores.xs(metric, axis=1, level=1)
    best, guess = _best(table[MEAN], metric), _guess(found.table, metric)
    head = (
        f'<th scope="rowgroup" rowspan="{len(table)}">{escape(metric)} '
        f'<span class="small">{_arrow(metric)}</span></th>'
    )
    for name, row in table.iterrows():
        interval = "" if np.isnan(row[LOW]) else f"{_number(row[LOW])} to {_number(row[HIGH])}"
        cells = [_number(row[MEAN]), interval]
        for q in bounds:
            known = q in row and not np.isnan(row[q])
            cells.append(_number(row[q]) if known else "")
            if known and q == keys.FLOOR:
                cells[-1] += f' <span class="small">{escape(guess)}</span>'
        cells.append(f"{int(row[NUMBER]):,}")
        first = name == table.index[0]
        mark = f"{BEST} " if name in best else ""
        yield (
            f'<tr class="{"first " * first}{"best" * bool(mark)}">{head * first}'
            f'<th scope="row">{mark}{escape(str(name))}</th>'
            f"{''.join(f'<td>{c}</td>' for c in cells)}</tr>"
        )


def _guess(table: pd.DataFrame, metric: str) -> str:
    """Name of the uninformed guess that is the floor of a metric."""
    if keys.FLOOR_NAME not in table:
        return ""
    full = table[keys.METRIC].astype(str) + "_" + table[keys.STATISTIC].astype(str)
    return str(table[keys.FLOOR_NAME][full == metric].iloc[0])


def _best(mean: pd.Series, metric: str) -> set[str]:
    """Predictions with the best mean; none where there is one only, or no better."""
    higher = higher_is_better(metric)
    if higher is None or mean.notna().sum() < 2:
        return set()
    return set(mean.index[mean == (mean.max() if higher else mean.min())])


def _arrow(metric: str) -> str:
    return {True: "↑", False: "↓", None: ""}[higher_is_better(metric)]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value + 0.0:.4g}"  # the sum makes 0 of -0


def _list(sentences: Iterable[str], kind: str = "") -> str:
    items = "".join(f'<li class="{kind}">{escape(s)}</li>' for s in sentences)
    return f"<ul>{items}</ul>"


def _picture(figure: Figure) -> str:
    inside = f"<p>Not drawn: {escape(figure.reason)}</p>"
    if figure.png:
        data = base64.b64encode(figure.png).decode("ascii")
        alt = escape(f"{figure.title}: {figure.caption}")
        inside = f'<div class="wide"><img alt="{alt}" src="data:image/png;base64,{data}"></div>'
    return (
        f"<figure><h3>{escape(figure.title)}</h3>{inside}"
        f'<figcaption class="small">{escape(figure.caption)}</figcaption></figure>'
    )
