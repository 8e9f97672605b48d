"""Everything there is to say about predictions, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.statistics import has_logfc
from pertscope.ev import _bounds as bounds
from pertscope.ev._comparison import Options
from pertscope.ev._compat import COMPAT_STATISTIC, TOOLS, tool_metrics
from pertscope.ev._judge import check_compat, judge
from pertscope.ev._judged import observe
from pertscope.ev._metrics import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope.ev._side import Side

DEFAULT = (
    "rmse_mean",
    "pearson_effect",
    "cosine_logfc",
    "weighted_mse_mean",
    "weighted_r2_mean",
    "rmse_rank_mean",
    "rmse_transposed_rank_mean",
    "cosine_rank_logfc",
    "cosine_transposed_rank_logfc",
    "matrix_distance_logfc",
    "dispersion_ratio_effect",
    "cosine_to_mean_effect",
    "crowded_share_effect",
    "deg_recall_at_20_t-test",
    "overlap_at_N_t-test",
    "direction_match_t-test",
    "significant_recall_t-test",
    "pr_auc_t-test",
    "deg_f1_t-test",
    "energy_distance_pca",
    "mmd_rbf_pca",
    "wasserstein_pca",
    "variance_spearman_genes",
)
"""On profiles without a logarithm, effect stands in place of logfc."""


def evaluate(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    metrics: str | Sequence[str] = "default",
    floor: bool = True,
    ceiling: bool | str = True,
    compat: str | None = None,
    control: str | None = None,
    deg_labels: str = "pooled",
    n_components: int = 50,
    max_cells: int = 1000,
    seed: int = 0,
    split: str | None = "test",
    key_added: str = "evaluation",
) -> None:
    """Score predictions by all kinds of metrics, between what a guess and a replicate would get.

    Cells are read once for all metrics that need means or variances; see
    :func:`pertscope.ev.show` for all metrics.

    The floor of a metric is its value for the best of four guesses that know nothing of the
    perturbation: the controls (``no_change``), the controls plus the mean effect of the training
    perturbations (``mean_effect``), the controls plus the effects of the parts of a combination
    (``additive``), and the observation of another perturbation (``permuted``). The ceiling is its
    value for a replicate of the experiment: one half of the cells of every condition against the
    other, mean of five halvings; both against the observed controls where predictions are, else
    each against its own half of the controls. Half as many cells have twice the variance: squared
    distances are divided by 2, distances by its root, what r2 lacks of 1 by 2, correlations r
    become ``2 r / (1 + r)``; ranks and DEG metrics stay those of half the cells, mostly short of
    what a whole replicate would reach.

    :func:`pertscope.get.scores` then has, beside the means, ``normalised = (score - floor) /
    (ceiling - floor)``: 0 is no better than a guess, 1 as good as the experiment done again.

    Parameters
    ----------
    adata
        Registered screen with predictions; in memory, backed or dask.
    predictions
        Names of the predictions to score; all by default.
    metrics
        ``"default"``, or names such as ``["rmse_mean", "cosine_rank_logfc"]``: a metric and the
        statistic it is taken on. Metrics that need cells are left out for predictions that hold
        only means.
    floor
        Whether to compute floors.
    ceiling
        Whether to compute ceilings; or how: ``"split-half"``, ``"bootstrap"``,
        ``"hierarchical-bootstrap"``, see :func:`pertscope.ev.ceiling`.
    compat
        ``"cell-eval"``, ``"perturbench"`` or ``"perturbench-v1"``: the metrics of that tool, under
        its own names and conventions. cell-eval's are: predictions against controls of their own,
        tests with float32 p-values and folds, genes ranked by fold change, 0 where there are no
        significant genes.
    control
        ``"observed"``: effects and tests of both sides are against the observed controls.
        ``"own"``: those of a prediction are against the controls that it brought along. ``None`` is
        ``"observed"``, and ``"own"`` for ``compat="cell-eval"``.
    deg_labels
        ``"batch-majority"``: labels of ``deg_f1`` are those that most batches give, of those with
        30 cells (15 in halves); see :func:`pertscope.ev.deg_metrics`.
    n_components, max_cells
        Components of the PCA, and cells per population, in distances between cells.
    seed
        Seed of halves, bootstraps and permutations.
    split
        Part of the split to score; ``None`` for all predicted conditions.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per prediction, condition,
    statistic and metric: ``prediction``, the covariates, ``perturbation``, ``statistic``,
    ``metric``, ``better`` (``"higher"``, ``"lower"``, or ``"neither"``), ``floor_name``
    (categorical), ``value``, ``floor``, ``ceiling`` (float64).

    Raises
    ------
    KeyError
        If there are no predictions, or none of a name.
    ValueError
        If a metric or option is unknown (the nearest names are given), logfc is undefined for the
        screen, a part is empty, or rows are to be drawn for a ceiling where no condition has two.

    References
    ----------
    That of each metric is listed by :func:`pertscope.ev.show`.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_additive(adata)
    >>> ps.ev.evaluate(adata, metrics=["rmse_mean", "cosine_effect"])
    >>> scores = ps.get.scores(adata)
    >>> scores["normalised"].columns.tolist()
    ['rmse_mean', 'cosine_effect']
    """
    check_compat(compat, (None, *TOOLS))
    method = bounds.SPLIT_HALF if ceiling is True else ceiling or None
    if method is not None and method not in bounds.METHODS:
        raise ValueError(f"`ceiling`={ceiling!r} must be True, False, or one of {bounds.METHODS}.")
    judged = observe(adata, split, with_training=floor)
    if method in (bounds.BOOTSTRAP, bounds.HIERARCHICAL):
        bounds.require_rows(judged)  # halves of one row are none: that ceiling is NaN
    names = None
    if compat is not None:
        of_tool = tool_metrics(compat, None if metrics == "default" else metrics)
        chosen = list(of_tool.values())
        names = {ours: (name, COMPAT_STATISTIC) for name, ours in of_tool.items()}
    elif metrics == "default":
        chosen = parse(default_metrics(judged.side))
    else:
        chosen = parse(metrics)
    judge(
        adata,
        predictions,
        chosen,
        split=split,
        judged=judged,
        options=Options(
            compat=compat,
            deg_labels=deg_labels,
            n_components=n_components,
            max_cells=max_cells,
            seed=seed,
        ),
        control=control or ("own" if compat == "cell-eval" else "observed"),
        floor=floor,
        ceiling=method,
        skip=True,
        names=names,
        key_added=key_added,
    )


def default_metrics(side: Side) -> list[str]:
    """Names of the default metrics that are defined for a screen."""
    if has_logfc(side.moments.mean) and has_logfc(side.control_moments.mean):
        return list(DEFAULT)
    return list(dict.fromkeys(name.replace("_logfc", "_effect") for name in DEFAULT))
