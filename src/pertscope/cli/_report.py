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
from pertscope.cli._report_text import BEST, COLUMN_WORDS, METRIC_WORDS, STYLE, UNKNOWN
from pertscope.ev._metrics import higher_is_better

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pertscope.cli._figures import Figure
    from pertscope.cli._judgement import Judgement

MEAN, LOW, HIGH, NUMBER = "mean", "ci_low", "ci_high", "n_conditions"
BOUNDS = (keys.FLOOR, keys.CEILING)
INTERVAL = "interval"


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
        _words(found),
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
    controls = (f"{'|'.join(k)}: {v:,}" if k else f"{v:,}" for k, v in summary.n_controls.items())
    rows = {
        "screen": found.screen_file.name,
        "cells x genes": f"{summary.n_cells:,} x {summary.n_genes:,}",
        "perturbations": f"{summary.n_perturbations:,}",
        "combinations": f"{summary.n_combinations:,}",
        "conditions": f"{summary.n_conditions:,}, judged: {found.n_judged():,}",
        "sets of covariates": f"{len(summary.n_controls):,}",
        "control cells": ", ".join(controls),
    }
    cells = (
        f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in rows.items()
    )
    return f'<div class="wide"><table class="facts">{"".join(cells)}</table></div>'


def _columns(found: Judgement) -> list[str]:
    """Columns of numbers, those that matter most in front: a narrow page shows these."""
    normalised = [keys.NORMALISED] if keys.NORMALISED in found.scores else []
    return [MEAN, *normalised, INTERVAL, *(q for q in BOUNDS if q in found.scores), "n"]


def _scores(found: Judgement) -> str:
    """One block of rows per metric, one row per prediction; the best of each metric is marked."""
    columns = _columns(found)
    header = "".join(f'<th scope="col">{escape(h)}</th>' for h in ("prediction", *columns))
    blocks = (_block(found, metric, columns) for metric in found.scores[MEAN].columns)
    return (
        f'<div class="wide"><table class="scores"><thead><tr>{header}</tr></thead>'
        f"{''.join(blocks)}</table></div>"
    )


def _block(found: Judgement, metric: str, columns: Sequence[str]) -> str:
    """Rows of one metric, under its name."""
    table = found.scores.xs(metric, axis=1, level=1)
    n = table[NUMBER][table[MEAN].notna()]
    best = _best(table[MEAN], metric) if n.min() == n.max() else set()  # else of other conditions
    guess = _guess(found.table, metric)
    arrow = f'<span class="small">{_arrow(metric)}</span>'
    rows = [
        f'<tr><th scope="rowgroup" colspan="{len(columns) + 1}">{escape(metric)} {arrow}</th></tr>'
    ]
    for name, row in table.iterrows():
        cells = {q: _number(row.get(q, np.nan)) for q in (MEAN, keys.NORMALISED, *BOUNDS)}
        cells[INTERVAL] = (
            UNKNOWN if np.isnan(row[LOW]) else f"{_number(row[LOW])} to {_number(row[HIGH])}"
        )
        cells["n"] = f"{int(row[NUMBER]):,}"
        if cells[keys.FLOOR] != UNKNOWN:
            cells[keys.FLOOR] += f' <span class="small">{escape(guess)}</span>'
        kind, mark = (' class="best"', f"{BEST} ") if name in best else ("", "")
        values = "".join(f'<td class="{c}">{cells[c]}</td>' for c in columns)
        rows.append(f'<tr{kind}><th scope="row">{mark}{escape(str(name))}</th>{values}</tr>')
    return f"<tbody>{''.join(rows)}</tbody>"


def _words(found: Judgement) -> str:
    """What the columns and the less known metrics are."""
    columns, metrics = _columns(found), list(found.scores[MEAN].columns)
    words = {k: v for k, v in COLUMN_WORDS.items() if k in columns or k == UNKNOWN}
    words |= {k: v for k, v in METRIC_WORDS.items() if any(k in m for m in metrics)}
    items = (f"<dt><b>{escape(k)}</b></dt><dd>{escape(v)}</dd>" for k, v in words.items())
    return f"<dl>{''.join(items)}</dl>"


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
    return UNKNOWN if np.isnan(value) else f"{value + 0.0:.4g}"  # the sum makes 0 of -0


def _list(sentences: Iterable[str], kind: str = "") -> str:
    items = "".join(f'<li class="{kind}">{escape(s)}</li>' for s in sentences)
    return f"<ul>{items}</ul>"


def _picture(figure: Figure) -> str:
    title = f"<h3>{escape(figure.title)}</h3>"
    if not figure.png:
        return f"{title}<p>Not drawn: {escape(figure.reason)}</p>"
    data = base64.b64encode(figure.png).decode("ascii")
    alt = escape(f"{figure.title}: {figure.caption}")
    image = f'<img style="--width: {figure.width}px" alt="{alt}" '
    return (
        f'<figure>{title}<div class="wide">{image}src="data:image/png;base64,{data}"></div>'
        f'<figcaption class="small">{escape(figure.caption)}</figcaption></figure>'
    )
