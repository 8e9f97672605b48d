"""What every function of ``ev`` does: observe, compare, score, write."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.messages import listed
from pertscope._core.score_tables import write_scores
from pertscope._core.screen import require_actual
from pertscope.ev import _bounds as bounds
from pertscope.ev._batch_labels import check_batches
from pertscope.ev._gene_tests import GENE_TESTS
from pertscope.ev._judged import observe, predicted
from pertscope.ev._metrics import better
from pertscope.ev._score import score, score_rows, score_table
from pertscope.ev._statistics import check_logfc
from pertscope.ev._warnings import warn_alone, warn_unlike
from pertscope.ev.families.labels import check_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from anndata import AnnData

    from pertscope.ev._comparison import Comparison, Options
    from pertscope.ev._judged import Judged
    from pertscope.ev._score import Chosen, Scores

N_HALVES, N_BOOTSTRAPS, N_OUTER, N_INNER = 5, 50, 10, 10


def judge(
    adata: AnnData,
    predictions: str | Sequence[str] | None,
    chosen: Sequence[Chosen],
    *,
    split: str | None,
    options: Options,
    key_added: str,
    judged: Judged | None = None,
    control: str = "observed",
    floor: bool = False,
    ceiling: str | None = None,
    skip: bool = False,
    names: Mapping[Chosen, Chosen] | None = None,
) -> None:
    """Score predictions and write the table.

    With `skip`, metrics that a prediction cannot have, because it holds no cells, are left out;
    otherwise they are an error. `names` are those of metric and statistic in the table, where they
    are not our own.
    """
    keys.check_key(key_added)
    judged = judged or observe(adata, split, with_training=floor)
    check_logfc(judged.side, [statistic for _, statistic in chosen])
    check_batches(judged, chosen, options)
    compared = list(
        predicted(
            adata, judged, predictions, options=options, control=control, warn=split is not None
        )
    )
    warn_unlike(compared, chosen, options, split)
    for name, _, comparison in compared:
        check_labels(name, comparison, chosen)
    wanted = {name: _possible(name, c, chosen, skip=skip) for name, _, c in compared}
    bounded: dict[bytes, list[Chosen]] = {}  # by conditions: a floor is over the same ones
    for name, rows, _ in compared:
        shared = bounded.setdefault(rows.tobytes(), [])
        shared += [c for c in wanted[name] if c not in shared]
    n_bounds = 4 * floor + N_HALVES * bool(ceiling)
    total = sum(map(len, wanted.values())) + n_bounds * sum(map(len, bounded.values()))
    known: dict[bytes, tuple[dict[str, Scores], dict[Chosen, str]]] = {}
    parts = []
    with progress(total, "judging") as step:
        for name, rows, comparison in compared:
            key = rows.tobytes()
            if key not in known:
                known[key] = _bounds_of(
                    judged.take(rows),
                    bounded[key],
                    options,
                    floor=floor,
                    ceiling=ceiling,
                    own_controls=control == "own",
                    step=step,
                )
            columns, floor_of = known[key]
            scores = score(comparison, wanted[name], step=step)
            for c in wanted[name]:
                values = {keys.VALUE: scores[c]} | {k: bound[c] for k, bound in columns.items()}
                labels = _labels(c, names, floor_of, bounded=bool(columns))
                parts.append(score_rows(comparison.conditions, name, c, values | labels))
    warn_alone([comparison.conditions for _, _, comparison in compared], chosen)
    table = score_table(parts)
    require_actual(adata)
    write_scores(adata, key_added, table)


def _labels(
    chosen: Chosen,
    names: Mapping[Chosen, Chosen] | None,
    floor_of: Mapping[Chosen, str],
    *,
    bounded: bool,
) -> dict[str, str]:
    """Text columns of a score: names that are not our own, and what its bounds mean."""
    labels = {}
    if names:
        labels = dict(zip((keys.METRIC, keys.STATISTIC), names[chosen], strict=True))
    if bounded:
        labels[keys.BETTER] = better(chosen[0])
    if chosen in floor_of:
        labels[keys.FLOOR_NAME] = floor_of[chosen]
    return labels


def check_compat(compat: str | None, known: Sequence[str | None]) -> None:
    """Refuse conventions of tools that a function does not know."""
    if compat not in known:
        raise ValueError(f"`compat`={compat!r} must be one of {tuple(known)}.")


def _possible(
    name: str, comparison: Comparison, chosen: Sequence[Chosen], *, skip: bool
) -> list[Chosen]:
    """Metrics that a prediction can have."""
    side = comparison.predicted
    lost = [c for c in chosen if bounds.needs_cells(c) and not side.has_cells]
    if lost and not skip:
        raise ValueError(
            f"prediction {name!r} holds one row per condition, its mean: {_names(lost)} need "
            "predicted cells. Predict with `cells_per_condition`, or add cells with "
            "`ps.pp.add_prediction`."
        )
    own = side.controls is not comparison.observed.controls
    if own and 1 in np.bincount(side.controls.codes)[side.control_groups]:
        tests = [c for c in chosen if c[1] in GENE_TESTS]
        if tests and not skip:
            raise ValueError(
                f"prediction {name!r} brought one row of controls, their mean: {_names(tests)} "
                "need control cells. Use control='observed'."
            )
        lost += tests
    return [c for c in chosen if c not in lost]


def _names(chosen: Sequence[Chosen]) -> str:
    return listed(f"{metric}_{statistic}" for metric, statistic in chosen)


def _bounds_of(
    judged: Judged,
    chosen: Sequence[Chosen],
    options: Options,
    *,
    floor: bool,
    ceiling: str | None,
    own_controls: bool,
    step: Callable[[str], object],
) -> tuple[dict[str, Scores], dict[Chosen, str]]:
    """Columns of floors and ceilings, those that are wanted, and which floor is the best."""
    columns: dict[str, Scores] = {}
    floor_of: dict[Chosen, str] = {}
    if floor:
        columns[keys.FLOOR], floor_of = bounds.best_floor(judged, chosen, options, step=step)
    if ceiling:
        columns[keys.CEILING] = _ceilings(
            judged, chosen, options, method=ceiling, own_controls=own_controls, step=step
        )
    return columns, floor_of


def _ceilings(
    judged: Judged,
    chosen: Sequence[Chosen],
    options: Options,
    *,
    method: str,
    own_controls: bool,
    step: Callable[[str], object],
) -> Scores:
    n_outer = {bounds.SPLIT_HALF: N_HALVES, bounds.BOOTSTRAP: N_BOOTSTRAPS}.get(method, N_OUTER)
    made = bounds.replicates(
        judged,
        options,
        method=method,
        own_controls=own_controls,
        n_outer=n_outer,
        n_inner=N_INNER,
    )
    found = bounds.replicate_scores(made, chosen, step=step)
    return {
        c: bounds.ceiling_of(
            v, c[0], method=method, share=bounds.depth_share(judged, c[0], options)
        )
        for c, v in found.items()
    }


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[str], object]]:
    """One progress bar over all metrics; it shows only where the work takes more than a moment."""
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=what, leave=False, delay=2) as bar:

        def step(name: str) -> None:
            bar.set_postfix_str(name, refresh=False)
            bar.update()

        yield step
