"""Errors and correlations of predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.keys import check_key
from pertscope._core.messages import nearest
from pertscope._core.score_tables import write_scores
from pertscope._core.screen import require_actual
from pertscope.ev._metrics import ERROR_METRICS
from pertscope.ev._observed import (
    check_logfc,
    check_statistics,
    observe,
    predicted,
    score_rows,
    score_table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

COMPAT = (None, "perturbench")


def error_metrics(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    statistics: Sequence[str] = ("mean", "effect", "logfc"),
    metrics: Sequence[str] = ("rmse", "mae", "cosine", "pearson"),
    split: str | None = "test",
    compat: str | None = None,
    key_added: str = "error_metrics",
) -> None:
    """Score predictions by errors and correlations, per condition over genes.

    With predicted xhat and observed x of a condition, each a statistic over G genes: ``rmse =
    sqrt(mean (xhat - x)^2)``, ``mse`` its square, ``mae = mean |xhat - x|``, ``l2`` the Euclidean
    distance, ``cosine``, ``pearson`` and ``spearman`` similarities, ``r2 = 1 - sum (xhat - x)^2 /
    sum (x - mean x)^2``.

    Statistics are ``mean``, the condition mean; ``effect``, minus the mean of the observed
    matched controls; ``logfc = log2(mean + 0.1) - log2(control + 0.1)`` on log-normalised values,
    a negative predicted mean counting as 0.

    A model that predicts the mean effect for everything has a fine RMSE: look at
    :func:`pertscope.ev.rank_metrics` as well.

    Parameters
    ----------
    adata
        Registered screen with predictions; in memory, backed or dask.
    predictions
        Names of the predictions to score; all by default.
    statistics
        Of ``"mean"``, ``"effect"``, ``"logfc"``.
    metrics
        Of ``"rmse"``, ``"mse"``, ``"mae"``, ``"l2"``, ``"cosine"``, ``"pearson"``, ``"spearman"``,
        ``"r2"``.
    split
        Part of the split to score; ``None`` for all predicted conditions.
    compat
        ``"perturbench"`` takes the prediction as the truth in r2, and in logfc sets to 0 what has
        no logarithm, as PerturBench does.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per prediction, condition,
    statistic and metric: ``prediction``, the covariates, ``perturbation``, ``statistic``,
    ``metric`` (categorical), ``value`` (float64). A zero vector has cosine 0; the correlation of a
    constant vector is NaN, and :func:`pertscope.get.scores` counts what is left.

    Raises
    ------
    KeyError
        If there are no predictions, or none of a name.
    ValueError
        If a statistic or metric is unknown, logfc is undefined for the screen, or a part is empty.

    References
    ----------
    Wu et al., PerturBench (2024), section 4 and appendix A.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_no_change(adata)
    >>> ps.ev.error_metrics(adata, metrics=["rmse"], statistics=["mean"])
    >>> adata.uns["error_metrics"]["metric"].unique().tolist()
    ['rmse']
    """
    check_key(key_added)
    check_statistics(statistics)
    if isinstance(metrics, str):
        raise TypeError(f"`metrics` takes a list: [{metrics!r}].")
    for name in metrics:
        if name not in ERROR_METRICS:
            raise ValueError(f"unknown metric {name!r}; {nearest(name, ERROR_METRICS)}.")
    if compat not in COMPAT:
        raise ValueError(f"`compat`={compat!r} must be one of {COMPAT}.")
    observed = observe(adata, split)
    check_logfc(observed, statistics)
    parts = []
    for prediction, rows, mean in predicted(adata, observed, predictions, warn=split is not None):
        for statistic in statistics:
            a = observed.statistic(statistic, mean, rows, compat=compat)
            b = observed.statistic(statistic, observed.mean[rows], rows, compat=compat)
            for name in metrics:
                pair = (b, a) if compat == "perturbench" and name == "r2" else (a, b)
                value = ERROR_METRICS[name].function(*pair)
                parts.append(score_rows(observed, rows, prediction, statistic, name, value))
    require_actual(adata)
    write_scores(adata, key_added, score_table(parts))
