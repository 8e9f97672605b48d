"""Distances between predicted and observed populations of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.ev._comparison import Options
from pertscope.ev._judge import judge
from pertscope.ev._metrics import METRICS, check_names
from pertscope.ev.families.distributions import SPACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def distribution_metrics(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    metrics: Sequence[str] = ("energy_distance", "mmd_rbf", "wasserstein", "variance_spearman"),
    space: str = "pca",
    unbiased: bool = False,
    n_components: int = 50,
    max_cells: int = 1000,
    seed: int = 0,
    split: str | None = "test",
    key_added: str = "distribution_metrics",
) -> None:
    """Score predicted cells by how far their population is from the observed one.

    With predicted cells x and observed cells y of a condition:

    - ``energy_distance = 2 E|x - y| - E|x - x'| - E|y - y'|`` (as pertpy, scPerturb and cell-eval),
      ``half_energy_distance`` half of it (PerturBench calls it MMD), ``squared_energy_distance``
      the same with squared Euclidean distances, which sees means only;
    - ``mmd_linear = |mean x - mean y|^2``; ``mmd_rbf``, squared maximum mean discrepancy under a
      mean of Gaussian kernels ``exp(-gamma |a - b|^2)``, gamma 2, 1, .5, .1, .01, .005;
      ``mmd_rbf_median``, one kernel as wide as the median distance;
    - ``wasserstein``, mean over genes (or components) of the one-dimensional Wasserstein-1
      distance; ``sliced_wasserstein``, mean over 50 random directions; ``sinkhorn``, with POT
      installed;
    - ``variance_spearman``, Spearman correlation over genes of mean-adjusted variances;
    - ``magnitude_pearson``, Pearson correlation over conditions of the energy distances of
      predicted, and of observed, cells to the controls; one value for each combination of
      covariates.

    Parameters
    ----------
    adata
        Registered screen with predicted cells; in memory, backed or dask.
    predictions
        Names of the predictions to score; all by default.
    metrics
        Names as above.
    space
        ``"pca"``: principal components of the observed cells and their controls, onto which
        predicted cells are projected; ``"genes"``.
    unbiased
        Leave out the zero distance of each cell to itself (U-statistic).
    n_components
        Components of the PCA.
    max_cells
        Cells per condition and side that are looked at, drawn at random where there are more.
    seed
        Seed of what is drawn.
    split
        Part of the split to score; ``None`` for all predicted conditions.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame as
    :func:`pertscope.ev.error_metrics` does, the space in its column ``statistic``.

    Raises
    ------
    KeyError
        If there are no predictions, or none of a name.
    ValueError
        If a metric or space is unknown, a part is empty, or a prediction holds no cells but one row
        per condition.

    References
    ----------
    Székely and Rizzo, J. Stat. Plan. Inference 143 (2013); Gretton et al., JMLR 13 (2012); Peidli
    et al., scPerturb, Nature Methods 21 (2024).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_mean_effect(adata)
    >>> ps.tl.predict(adata, model, key_added="cells", cells_per_condition=20)
    >>> ps.ev.distribution_metrics(adata, "cells", metrics=["energy_distance"])
    >>> bool(adata.uns["distribution_metrics"]["value"].min() > 0)
    True
    """
    check_names(metrics, "distribution_metrics")
    if space not in SPACES:
        raise ValueError(f"`space`={space!r} must be one of {SPACES}.")
    spaces = {name: METRICS[name].statistics for name in metrics}
    chosen = [(name, space if space in spaces[name] else spaces[name][0]) for name in metrics]
    judge(
        adata,
        predictions,
        chosen,
        split=split,
        options=Options(
            unbiased=unbiased, n_components=n_components, max_cells=max_cells, seed=seed
        ),
        key_added=key_added,
    )
