"""What a replicate of the experiment would score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.batch_effects import check_batch_size
from pertscope._core.deg_labels import require_labels
from pertscope._core.screen import require_actual
from pertscope.ev import _bounds as bounds
from pertscope.ev._comparison import Options
from pertscope.ev._judge import progress
from pertscope.ev._judged import CONTROL_CHOICES, observe
from pertscope.ev._metrics import METRICS, parse
from pertscope.ev._score import lay_out, score_table
from pertscope.ev._statistics import check_logfc
from pertscope.ev.families.labels import LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope.ev._judged import Judged
    from pertscope.ev._score import Chosen

QUANTILES = np.linspace(0, 1, 21)


def ceiling(
    adata: AnnData,
    *,
    metrics: Sequence[str] = ("rmse_effect", "pearson_effect", "deg_f1_t-test"),
    method: str = "split-half",
    control: str = "own",
    n_outer: int = 10,
    n_inner: int = 10,
    batch_size: str = "auto",
    n_components: int = 50,
    max_cells: int = 1000,
    seed: int = 0,
    split: str | None = None,
    key_added: str = "ceiling",
) -> None:
    """Score replicates of the experiment, made of its own cells, by any metric.

    - ``"split-half"``: one half of the cells of every condition, and of its controls, against the
      other half; `n_outer` halvings. Squared distances are divided by 2, distances by its root,
      what r2 lacks of 1 by 2, correlations r become ``2 r / (1 + r)``, which is what two whole
      experiments would have; other metrics stay those of half the cells.
    - ``"bootstrap"``: cells of every condition and of its controls drawn with replacement, against
      the observation; `n_outer` samples.
    - ``"hierarchical-bootstrap"``: batches drawn with replacement, then cells within them;
      `n_outer` draws of batches, `n_inner` of cells for each.

    The bootstraps share cells with what they are compared with: they bound the error of the
    experiment from below (Cole et al.), and take its 0.9 quantile as the experimental error, the
    0.1 quantile where higher is better. A model within it cannot be told from a replicate.

    Parameters
    ----------
    adata
        Registered screen of cells or wells, in memory, backed or dask; it needs no predictions.
    metrics
        Names such as ``"rmse_mean"``; see :func:`pertscope.ev.show`.
    method
        As above; the hierarchical bootstrap needs a registered ``batch_key``.
    control
        ``"own"``: a replicate has controls of its own. ``"observed"``: only the perturbed cells are
        replicated, and both sides are against the observed controls, as predictions usually are.
    n_outer, n_inner
        Number of replicates, as above.
    batch_size
        ``"large"`` or ``"small"`` batches in ``"ba_ate"``, as in :func:`pertscope.tl.effects`: say
        the same in both. ``"auto"`` goes by the observed cells of all conditions.
    n_components, max_cells
        Components of the PCA, and cells per population, in distances between cells.
    seed
        Seed of the draws.
    split
        Part of the split to score; all conditions by default.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per condition,
    metric and quantile of its replicates: the covariates, ``perturbation``, ``statistic``,
    ``metric`` (categorical), ``quantile`` (0, 0.05, ..., 1) and ``value`` (float64).

    Raises
    ------
    KeyError
        If the screen is not registered.
    ValueError
        If a metric, method or size of batches is unknown, the method needs batches and there are
        none, labels are compared that the screen does not hold, or no condition has two rows.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, section 4.7.1; Spearman
    (1910) and Brown (1910).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.ev.ceiling(adata, metrics=["pearson_effect"], method="bootstrap")
    >>> adata.uns["ceiling"].columns[-2:].tolist()
    ['quantile', 'value']
    """
    keys.check_key(key_added)
    chosen = parse(metrics)
    if method not in bounds.METHODS:
        raise ValueError(f"`method`={method!r} must be one of {bounds.METHODS}.")
    if control not in CONTROL_CHOICES:
        raise ValueError(f"`control`={control!r} must be one of {CONTROL_CHOICES}.")
    if min(n_outer, n_inner) < 1:
        raise ValueError(f"`n_outer`={n_outer} and `n_inner`={n_inner} must be at least 1.")
    check_batch_size(batch_size)
    judged = observe(adata, split)
    check_logfc(judged.side, [statistic for _, statistic in chosen])
    options = Options(
        batch_size=batch_size, n_components=n_components, max_cells=max_cells, seed=seed
    )
    _require_replicates(judged, chosen, options)
    made = bounds.replicates(
        judged,
        options,
        method=method,
        own_controls=control == "own",
        n_outer=n_outer,
        n_inner=n_inner,
    )
    n = n_outer * (n_inner if method == bounds.HIERARCHICAL else 1)
    with progress(n * len(chosen), "replicating") as step:
        scores = bounds.replicate_scores(made, chosen, step=step)
    parts = []
    for (name, statistic), values in scores.items():
        if method == bounds.SPLIT_HALF:
            share = bounds.depth_share(judged, name, options)
            values = bounds.whole_depth(values, name, share)  # noqa: PLW2901
        rows = lay_out(judged.conditions, METRICS[name].level)
        named = rows.assign(**{keys.STATISTIC: statistic, keys.METRIC: name})
        for quantile, value in zip(QUANTILES, _quantiles(values), strict=True):
            parts.append(named.assign(**{keys.QUANTILE: quantile, keys.VALUE: value}))
    table = score_table(parts)
    require_actual(adata)
    adata.uns[key_added] = table


def _require_replicates(judged: Judged, chosen: Sequence[Chosen], options: Options) -> None:
    """Refuse labels where there are none, and conditions of which nothing can be drawn."""
    if any(statistic == LABEL for _, statistic in chosen):
        observed = judged.compare(judged.side, options).values(judged.side, "effect")
        advice = "labels are compared on screens of labels; of cells, ask for 'deg_f1_t-test'"
        require_labels(observed, "effects of the screen", advice)
    bounds.require_rows(judged)


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Quantiles over replicates, float64 ``(quantiles, values)``; NaN where all are."""
    found = np.full((len(QUANTILES), values.shape[1]), np.nan)
    known = ~np.isnan(values).all(axis=0)
    found[:, known] = np.nanquantile(values[:, known], QUANTILES, axis=0)
    return found
