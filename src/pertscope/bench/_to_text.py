"""A table of results to print, paste or publish."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pertscope.bench._table import BOUNDS, SEEDS, table
from pertscope.ev._metrics import higher_is_better

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

FORMS = ("markdown", "latex")
MIN_DECIMALS, MAX_DECIMALS, DECIMALS = 2, 4, 3


def to_text(
    results: Path | str | pd.DataFrame,
    *,
    metrics: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    form: str = "markdown",
) -> str:
    """Write the table of results as text: mean ± standard deviation, the best model in bold.

    Digits go as far as the first of the standard deviation, two to four decimals. Arrows say which
    way is better. Floor and ceiling come last and are never bold, nor is a model of which seeds
    failed: ``(2 of 3)`` behind its name says how many did not.

    Parameters
    ----------
    results, metrics, models
        As in :func:`pertscope.bench.table`.
    form
        ``"markdown"`` or ``"latex"``, a ``tabular`` for the package booktabs.

    Returns
    -------
    The text.

    Raises
    ------
    ValueError
        If there is no such form.

    Examples
    --------
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> rows = [
    ...     (m, "model", s, "rmse_mean", i + s / 9, "") for i, m in enumerate("ab") for s in (0, 1)
    ... ]
    >>> scores = pd.DataFrame(rows, columns=["model", "kind", "seed", "metric", "value", "error"])
    >>> print(ps.bench.to_text(scores.assign(task="mine", scenario="", train_cells=10)))
    | model | rmse_mean ↓ |
    |---|---|
    | a | **0.06 ± 0.08** |
    | b | 1.06 ± 0.08 |
    """
    if form not in FORMS:
        raise ValueError(f"`form`={form!r} must be one of {FORMS}.")
    latex = form == "latex"
    found = table(results, metrics=metrics, models=models)
    shown = [m for m in found.columns.get_level_values(0).unique() if m != SEEDS]
    head = [*found.index.names, *(f"{m}{_arrow(m, latex=latex)}" for m in shown)]
    cells = []
    for at, row in found.iterrows():
        name = at if isinstance(at, tuple) else (at,)
        group = found.loc[name[0]] if len(name) == 2 else found
        values = [_cell(row, m, name[-1], group, latex=latex) for m in shown]
        cells.append([*name[:-1], f"{name[-1]}{_done(row)}", *values])
    return _latex(head, cells) if latex else _markdown(head, cells)


def _cell(row: pd.Series, metric: str, model: str, group: pd.DataFrame, *, latex: bool) -> str:
    mean, sd = row[metric, "mean"], row[metric, "sd"]
    if math.isnan(mean):
        return "failed" if row[SEEDS, "failed"] else "--"
    decimals = DECIMALS
    if sd > 0:
        decimals = min(max(-math.floor(math.log10(sd)), MIN_DECIMALS), MAX_DECIMALS)
    plus_minus = r" \pm " if latex else " ± "
    text = f"{mean:.{decimals}f}" + ("" if math.isnan(sd) else f"{plus_minus}{sd:.{decimals}f}")
    rivals = group.loc[group[SEEDS, "failed"] == 0, (metric, "mean")]
    rivals = rivals.drop(index=list(BOUNDS), errors="ignore")
    higher = higher_is_better(metric)
    best = rivals.max() if higher else rivals.min()
    bold = model in rivals.index and higher is not None and mean == best
    if latex:
        return rf"$\mathbf{{{text}}}$" if bold else f"${text}$"
    return f"**{text}**" if bold else text


def _done(row: pd.Series) -> str:
    """How many seeds a row is of, where some failed and some did not."""
    done, failed = int(row[SEEDS, "done"]), int(row[SEEDS, "failed"])
    return f" ({done} of {done + failed})" if done and failed else ""


def _arrow(metric: str, *, latex: bool) -> str:
    up, down = (r" $\uparrow$", r" $\downarrow$") if latex else (" ↑", " ↓")
    return {True: up, False: down, None: ""}[higher_is_better(metric)]


def _markdown(head: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    rows = [head, *([c.replace("|", r"\|") for c in row] for row in cells)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _latex(head: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    n_names = sum(h in ("task", "model") for h in head)
    rows = [[_escaped(c) for c in row[:n_names]] + list(row[n_names:]) for row in cells]
    lines = [" & ".join(row) + r" \\" for row in ([_escaped(h) for h in head], *rows)]
    columns = "l" * n_names + "c" * (len(head) - n_names)
    top = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*top, *lines[1:], r"\bottomrule", r"\end{tabular}"])


def _escaped(text: str) -> str:
    """Name in LaTeX; the arrows of heads stay."""
    for character in "&%#_":
        text = text.replace(character, f"\\{character}")
    return text
