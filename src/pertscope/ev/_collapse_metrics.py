"""Collapse metrics: does a model predict the same for everything?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.ev._comparison import Options
from pertscope.ev._judge import judge
from pertscope.ev._metrics import check_names, pairs
from pertscope.ev._statistics import check_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

DEFAULT = ("matrix_distance", "dispersion_ratio", "cosine_to_mean", "crowded_share")


def collapse_metrics(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    statistics: Sequence[str] = ("effect",),
    metrics: Sequence[str] = DEFAULT,
    split: str | None = "test",
    key_added: str = "collapse_metrics",
) -> None:
    """Diagnose predictions that hardly depend on the perturbation.

    - ``matrix_distance``: Frobenius norm of the difference between the matrices of cosine
      similarities of all pairs of predicted and of observed conditions; one value in all.
    - ``dispersion_ratio``: ``sqrt(sum |xhat_i - mean xhat|^2 / sum |x_i - mean x|^2)``, how far
      apart predicted conditions lie for each unit that observed ones do; one value for each
      combination of covariates. 0 is a collapsed model, 1 as diverse as the observation (which
      holds noise as well).
    - ``cosine_to_mean``: cosine of each predicted condition with the mean of all; 1 if collapsed.
    - ``crowded_share``: share of conditions that were predicted nearer to another one than any two
      observed conditions are to each other; one value for each combination of covariates;
    - ``clustering_agreement``: adjusted mutual information of Leiden clusters of the predicted and
      of the observed conditions, the best of seven resolutions, as cell-eval has it; one value for
      each combination of covariates. It needs igraph.

    Parameters
    ----------
    adata
        Registered screen with predictions; in memory, backed or dask.
    predictions
        Names of the predictions to score; all by default.
    statistics
        What is compared, as in :func:`pertscope.ev.error_metrics`.
    metrics
        Names as above.
    split
        Part of the split to score; ``None`` for all predicted conditions.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame as :func:`pertscope.ev.error_metrics` does;
    ``perturbation``, or a covariate, is ``"(all)"`` where one value stands for all of them.

    Raises
    ------
    KeyError
        If there are no predictions, or none of a name.
    ValueError
        If a metric or statistic is unknown, or a part is empty.

    References
    ----------
    Wu et al., PerturBench (2024), equation 4; Arc Institute, cell-eval; the others are our own.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=20, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_mean_effect(adata)
    >>> ps.ev.collapse_metrics(adata, metrics=["dispersion_ratio", "cosine_to_mean"])
    >>> ps.get.scores(adata)["mean"].round(3).loc["mean_effect"].tolist()
    [0.0, 1.0]
    """
    check_statistics(statistics)
    check_names(metrics, "collapse_metrics")
    judge(
        adata,
        predictions,
        pairs(metrics, statistics),
        split=split,
        options=Options(),
        key_added=key_added,
    )
