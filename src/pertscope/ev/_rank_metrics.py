"""Rank metrics: does a prediction tell perturbations apart?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.distances import PAIRWISE
from pertscope._core.messages import nearest
from pertscope.ev._comparison import Options
from pertscope.ev._judge import check_compat, judge
from pertscope.ev._ranks import TIES
from pertscope.ev._statistics import check_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

COMPAT = (None, "perturbench", "perturbench-v1")


def rank_metrics(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    distances: Sequence[tuple[str, str]] = (("rmse", "mean"), ("cosine", "logfc")),
    ties: str = "expected",
    compat: str | None = None,
    split: str | None = "test",
    key_added: str = "rank_metrics",
) -> None:
    """Score predictions by whether each is nearest to its own observation.

    Within each combination of covariates, over its p judged conditions:

    - ``<distance>_rank``: ``sum over j != i of [d(xhat_j, x_i) <= d(xhat_i, x_i)] / (p - 1)``,
      the share of other predictions that are nearer to observation i than its own;
    - ``<distance>_transposed_rank``: the same with ``d(xhat_i, x_j)``, the share of other
      observations that are nearer to prediction i than its own.

    0 is perfect, 0.5 is random. A tie counts one half, so that a model that predicts the same for
    every perturbation scores exactly 0.5; distances are tied if they differ by less than a
    millionth of the mean distance.

    Parameters
    ----------
    adata
        Registered screen with predictions; in memory, backed or dask.
    predictions
        Names of the predictions to score; all by default.
    distances
        Pairs of a distance (``"rmse"``, ``"mae"``, ``"l2"``, ``"cosine"``, ``"pearson"``) and the
        statistic it is taken on (``"mean"``, ``"effect"``, ``"logfc"``).
    ties
        ``"expected"``: a tie counts 1/2. ``"worst"``: a tie counts 1, as in the paper's formula.
    compat
        ``"perturbench"`` is PerturBench's current convention, which is the default here but for its
        unseeded order of ties, in place of which stands its expectation; ``"perturbench-v1"``
        divides by p in place of p - 1.
    split
        Part of the split to score; ``None`` for all predicted conditions.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per prediction, condition,
    statistic and metric: ``prediction``, the covariates, ``perturbation``, ``statistic``,
    ``metric`` (categorical), ``value`` (float64). The rank of the only condition of a combination
    of covariates is NaN.

    Raises
    ------
    KeyError
        If there are no predictions, or none of a name.
    ValueError
        If a distance or statistic is unknown, logfc is undefined for the screen, or a part is
        empty.

    Warns
    -----
    UserWarning
        If conditions cannot be ranked because they are alone.

    References
    ----------
    Wu et al., PerturBench (2024), equations 2 and 3.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=20, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_mean_effect(adata)
    >>> ps.ev.rank_metrics(adata)
    >>> float(ps.get.scores(adata)["mean"].loc["mean_effect", "rmse_rank_mean"])
    0.5
    """
    check_statistics([statistic for _, statistic in distances])
    for name, _ in distances:
        if name not in PAIRWISE:
            raise ValueError(f"unknown distance {name!r}; {nearest(name, PAIRWISE)}.")
    if ties not in TIES:
        raise ValueError(f"`ties`={ties!r} must be one of {TIES}.")
    check_compat(compat, COMPAT)
    chosen = [
        (f"{distance}_{which}", statistic)
        for distance, statistic in distances
        for which in ("rank", "transposed_rank")
    ]
    judge(
        adata,
        predictions,
        chosen,
        split=split,
        options=Options(compat=compat, ties=ties),
        key_added=key_added,
    )
