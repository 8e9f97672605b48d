"""Errors and correlations of predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.ev._comparison import Options
from pertscope.ev._judge import check_compat, judge
from pertscope.ev._metrics import check_names, pairs
from pertscope.ev._statistics import check_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

COMPAT = (None, "perturbench", "perturbench-v1")


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

    ``weighted_mse = sum w (xhat - x)^2`` and ``weighted_r2 = 1 - sum w (xhat - x)^2 / sum w (x -
    sum w x)^2``, with each gene's weight w from the observed t-score of the condition against the
    cells of all other judged conditions of the same covariates, ``((|t| - min |t|) / (max |t| - min
    |t|))^2`` scaled to sum 1; for r2, x is taken from the mean of all conditions. A mean effect,
    which has a fine plain error, has no merit in these.

    Statistics of a condition, each against its observed matched controls:

    - ``mean``; ``effect``, minus the mean of the controls;
    - ``logfc = log2(mean + 0.1) - log2(control + 0.1)`` on log-normalised values, a negative
      predicted mean counting as 0; ``logfc_counts``, the same of ``expm1(mean)``;
    - ``ba_ate``, the effect as a mean over batches of differences to the controls of the same batch
      where batches are large (100 cells per condition), of batch means against the mean of all
      batches of controls where they are small;
    - ``pca``, the mean in a PCA of the observed cells;
    - ``variance`` and ``cv``, the standard deviation over the mean, of predictions with cells;
    - ``t-test``, ``t-test_overestim_var``, ``wilcoxon``, ``wilcoxon_tie_corrected``,
      ``mann_whitney``: scores of tests against the controls. See :func:`pertscope.ev.deg_metrics`
      for a prediction that holds only means.

    A model that predicts the mean effect for everything has a fine RMSE: look at
    :func:`pertscope.ev.rank_metrics` as well.

    Parameters
    ----------
    adata
        Registered screen with predictions; in memory, backed or dask.
    predictions
        Names of the predictions to score; all by default.
    statistics
        Names as above.
    metrics
        Of ``"rmse"``, ``"mse"``, ``"mae"``, ``"l2"``, ``"cosine"``, ``"pearson"``, ``"spearman"``,
        ``"r2"``, ``"weighted_mse"``, ``"weighted_r2"``.
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
    Wu et al., PerturBench (2024), section 4 and appendix A. Weights: Mejia et al., Diversity by
    Design (2025), arXiv:2506.22641. BA-ATE: Cole et al., Foundation Models Improve Perturbation
    Response Prediction, equations 2-6.

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
    check_statistics(statistics)
    check_names(metrics, "error_metrics")
    check_compat(compat, COMPAT)
    judge(
        adata,
        predictions,
        pairs(metrics, statistics),
        split=split,
        options=Options(compat=compat),
        key_added=key_added,
    )
