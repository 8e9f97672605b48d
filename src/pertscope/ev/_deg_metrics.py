"""Agreement of predicted and observed differential expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.ev._comparison import Options
from pertscope.ev._gene_tests import GENE_TESTS
from pertscope.ev._judge import judge
from pertscope.ev._metrics import check_names, pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

DEFAULT = (
    "deg_recall_at_20",
    "overlap_at_N",
    "direction_match",
    "fold_spearman",
    "significant_recall",
    "pr_auc",
    "deg_f1",
)


def deg_metrics(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    metrics: Sequence[str] = DEFAULT,
    method: str = "t-test",
    alpha: float = 0.05,
    deg_labels: str = "pooled",
    min_cells: int = 30,
    control: str = "observed",
    split: str | None = "test",
    key_added: str = "deg_metrics",
) -> None:
    """Score predictions by the differentially expressed genes that they would find.

    Every gene of every condition is tested against the matched controls, in the observation and in
    the prediction. Genes are significant where the p-value, adjusted by Benjamini and Hochberg
    within the condition, is below `alpha`, and are ranked by the absolute test score.

    - ``deg_recall_at_20`` (50): share of the 20 first genes, significant or not, that are the same;
    - ``overlap_at_N`` (50, 100, 200, 500): share of the first significant observed genes among as
      many first significant predicted ones; ``precision_at_N``: the same, as a share of the
      predicted ones. N stands for all that are significant;
    - ``direction_match``, ``fold_spearman``: share of the significant observed genes that change in
      their direction, and Spearman correlation of their effects;
    - ``significant_recall``: share of the significant observed genes that are significant in the
      prediction; ``pr_auc``, ``roc_auc``: how well predicted p-values find them;
    - ``count_spearman``: Spearman correlation over conditions of the numbers of significant genes,
      one value for each combination of covariates; ``n_significant_predicted``,
      ``n_significant_observed``: these numbers;
    - ``deg_f1``: macro-F1 of the labels down, unchanged and up over the genes of a condition;
      ``deg_f1_per_gene``: over the conditions for each gene, then the mean over genes, one value
      for each combination of covariates.

    A prediction that holds only the mean of a condition has no test of its own: whatever `method`,
    it is tested by Welch's t with the variance of its controls and the number of cells observed.

    Parameters
    ----------
    adata
        Registered screen with predictions. t-tests read it in memory, backed or dask, as moments.
    predictions
        Names of the predictions to score; all by default.
    metrics
        Names as above.
    method
        ``"t-test"``, ``"t-test_overestim_var"``, ``"wilcoxon"`` as scanpy's,
        ``"wilcoxon_tie_corrected"`` as its ``tie_correct=True``, ``"mann_whitney"`` as SciPy's with
        tie and continuity correction.
    alpha
        False discovery rate.
    deg_labels
        How the labels of ``deg_f1`` and ``deg_f1_per_gene`` are found. ``"pooled"``: from all cells
        of a condition. ``"batch-majority"``: in each registered batch against the controls of that
        batch, by a t-test, and the majority of batches wins; unchanged and one direction tie for
        the direction, both directions for unchanged. A shift between batches then makes no
        label. The effect of a prediction is tested in the same batches, on top of their
        controls, with the number of cells observed there.
    min_cells
        Cells that a condition, and its controls, must have in a batch to be labelled there.
    control
        ``"observed"``: both sides are tested against the observed controls. ``"own"``: a prediction
        against the controls that it brought along.
    split
        Part of the split to score; ``None`` for all predicted conditions.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame as
    :func:`pertscope.ev.error_metrics` does, the test in its column ``statistic``. Values are NaN
    where there are no significant genes.

    Raises
    ------
    KeyError
        If there are no predictions, or none of a name.
    ValueError
        If a metric or method is unknown, `alpha` is no share, a part is empty, or a prediction has
        no controls of its own where they are asked for.

    References
    ----------
    Arc Institute, cell-eval; Wu et al., PerturBench (2024), appendix A; Cole et al., Foundation
    Models Improve Perturbation Response Prediction, section 4.2.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_mean_effect(adata)
    >>> ps.ev.deg_metrics(adata, metrics=["deg_recall_at_20"])
    >>> adata.uns["deg_metrics"]["statistic"].unique().tolist()
    ['t-test']
    """
    check_names(metrics, "deg_metrics")
    if method not in GENE_TESTS:
        raise ValueError(f"`method`={method!r} must be one of {GENE_TESTS}.")
    if not 0 < alpha < 1:
        raise ValueError(f"`alpha`={alpha} must lie between 0 and 1.")
    judge(
        adata,
        predictions,
        pairs(metrics, [method]),
        split=split,
        options=Options(alpha=alpha, deg_labels=deg_labels, min_cells=min_cells),
        control=control,
        key_added=key_added,
    )
