"""How much of what could be learned was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.keys import PERTURBATION, check_key
from pertscope._core.screen import Screen, require_actual
from pertscope._core.unseen import is_bound
from pertscope.ev._gap_inputs import check_metric, read_ceiling, read_scores
from pertscope.ev._gap_table import Gap, gap_table, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData


def gap_closed(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    metric: str = "l2_effect",
    floor: str = "train_mean",
    ceiling: str | pd.DataFrame | None = "ceiling",
    confidence: float = 0.95,
    seed: int = 0,
    key_added: str = "gap_closed",
) -> None:
    """Say whether predictions beat a floor, and what share of the gap to a ceiling they close.

    With s a prediction's score, f the floor's and c the ceiling's, each the mean, or the median,
    over conditions: ``gap_closed = (s - f) / (c - f)``; ``gain = f - s`` where lower is better,
    ``s - f`` where higher is. Both are given for all conditions together, for each combination of
    covariates, and for each fold of :func:`pertscope.tl.cross_validate` within it, with bootstrap
    intervals over perturbations: floor, ceiling and prediction are resampled together. Where fewer
    than ten samples lie in a tail, an interval is no narrower than Student's.

    A prediction beats the floor if the interval of its gain lies above 0. Of many embeddings that
    say nothing some would do so by luck: these intervals hold for all predictions together, each
    has ``1 - (1 - confidence) / n`` (Bonferroni), n the predictions that are no bounds; lines and
    folds are not counted. What they tell is that other perturbations of the same kind would show it
    too, not that another training would. Bounds are known by the names that
    :func:`pertscope.tl.cross_validate` gives them.

    Parameters
    ----------
    adata
        Registered screen with score tables, such as that of :func:`pertscope.ev.error_metrics`
        with ``split=None``.
    predictions
        Names of the predictions; all that have such a score by default.
    metric
        Name of a metric with one value per condition.
    floor
        Prediction that is the floor, such as the bound ``"train_mean"``; for metrics of labels
        ``"train_mode"``.
    ceiling
        What :func:`pertscope.ev.ceiling` wrote: its key in ``.uns``, or, for a screen of effects,
        the table of the screen of cells they were made from, ``cells.uns["ceiling"]``; taken is
        its 0.9 quantile, the experimental error, or the 0.1 quantile where higher is better. The
        ceiling of ``"l2_effect"`` may be an ``"l2_ba_ate"`` there. ``None``: only the floor.
    confidence
        Coverage of the intervals.
    seed
        Seed of the bootstrap.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Prints whether any prediction beats the floor over all conditions. Writes
    ``.uns[key_added]``, a DataFrame with one row per prediction, combination of covariates, fold
    and summary: ``prediction``, the covariates and ``fold`` (``"(all)"`` where they are taken
    together), ``metric``, ``floor_name``, ``summary`` (``"mean"``, ``"median"``; categorical),
    ``value``, ``floor``, ``ceiling``, ``gap_closed``, ``ci_low``, ``ci_high``, ``gain``,
    ``gain_low``, ``gain_high`` (float64), ``beats_floor`` (bool), ``rank`` among the predictions
    that were judged on all of these conditions, 1 for the best (float64), NaN for others,
    ``n_conditions`` (int64). ``gap_closed`` is NaN where the
    ceiling is no better than the floor, its interval where that is not sure.

    Raises
    ------
    KeyError
        If there is no such metric, prediction or ceiling, or nothing was judged by it.
    TypeError
        If `ceiling` is no table.
    ValueError
        If the metric has no better, or no value per condition, or the ceiling is of another screen.

    Warns
    -----
    UserWarning
        If conditions have no ceiling: they are left out; or if predictions lack conditions that
        others have: they are not ranked there.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, sections 2.1, 4.7.1.

    Examples
    --------
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> cells = ps.datasets.simulate_screen(n_perturbations=12, n_genes=50, seed=0)
    >>> ps.pp.register(cells, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(cells)
    >>> ps.ev.ceiling(cells, metrics=["l2_effect"], method="bootstrap")
    >>> screen = ps.tl.effects(cells)
    >>> genes = sorted(set(screen.obs["perturbation"]) - {"control"})
    >>> table = pd.DataFrame({"number": range(12)}, index=genes)
    >>> ps.pp.add_perturbation_embedding(screen, table, "number")  # doctest: +ELLIPSIS
    number: ...
    >>> ps.tl.cross_validate(screen, "knn", "number", bounds=["train_mean"], n_neighbors=[3])
    >>> ps.ev.error_metrics(screen, statistics=["effect"], metrics=["l2"], split=None)
    >>> ps.ev.gap_closed(screen, ceiling=cells.uns["ceiling"])  # doctest: +ELLIPSIS
    l2_effect: none of 1 prediction(s) beats 'train_mean' convincingly ...
    """
    check_key(key_added)
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence`={confidence} must lie between 0 and 1.")
    Screen.of(adata)
    higher = check_metric(metric)
    scored = read_scores(adata, metric, predictions, floor)
    ceilings = None if ceiling is None else read_ceiling(adata, scored, ceiling, metric)
    n = sum(not is_bound(p) and p != floor for p in scored.values)
    gap = Gap(
        floor=floor,
        sign=1 if higher else -1,
        confidence=confidence,
        together=1 - (1 - confidence) / max(n, 1),
        seed=seed,
    )
    table = gap_table(scored, ceilings, gap, metric)
    require_actual(adata)
    adata.uns[key_added] = table
    print(verdict(table, gap, scored.table[PERTURBATION].nunique()))
