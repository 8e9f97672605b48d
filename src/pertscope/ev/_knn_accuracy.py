"""Do neighbours in other batches have the same perturbation?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.batch_splits import drawn_sides, with_same_labels
from pertscope._core.neighbors import METRICS, nearest
from pertscope._core.representation import represented
from pertscope._core.screen import require_actual
from pertscope.ev._accuracy import TOP, accuracies, seed_table

if TYPE_CHECKING:
    from anndata import AnnData

UNIFORM, SOFTMAX, INVERSE = "uniform", "softmax", "inverse_distance"
WEIGHTS = (UNIFORM, SOFTMAX, INVERSE)
TEMPERATURE = 0.07
SMALLEST_DISTANCE = 1e-5


def knn_accuracy(
    adata: AnnData,
    use_rep: str | None = "X_pca",
    *,
    metric: str = "euclidean",
    weights: str = UNIFORM,
    n_neighbors: int | None = None,
    drop_controls: bool = True,
    train_fraction: float = 0.7,
    split_key: str | None = None,
    n_seeds: int = 5,
    seed: int = 0,
    key_added: str = "knn_accuracy",
) -> None:
    """Predict the perturbation of cells by the vote of their neighbours in other batches.

    Batches are drawn for reference (train) and query (test) as
    :func:`~pertscope.pp.split_batches` draws them, anew for each seed; both sides have the same
    perturbations. The ``k = floor(sqrt(n))`` nearest of n reference cells vote; of labels with
    equal votes the one with the nearer neighbour wins.

    Parameters
    ----------
    adata
        Registered screen with a ``batch_key``.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    metric
        ``"euclidean"`` or ``"cosine"``.
    weights
        Weight of a vote: ``"uniform"``, ``"softmax"``, ``exp(cosine / 0.07)`` (for the cosine
        alone), or ``"inverse_distance"``, ``1 / (distance + 1e-5)``.
    n_neighbors
        k; at most the number of reference cells.
    drop_controls
        Leave controls out. The floors that the paper prints are those of a frequent label, as the
        control is: it seems to keep them.
    train_fraction
        Share of the cells that the batches of the reference hold.
    split_key
        Column of a split made before, in place of those draws; `n_seeds` is then 1.
    n_seeds
        Number of seeds, counted from `seed`.
    seed
        First seed.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per seed and metric: ``seed``
    (int64), ``metric`` (categorical: ``top1_accuracy``, ``top5_accuracy``,
    ``balanced_accuracy``), ``value`` (float64), ``n_neighbors``, ``n_labels``, ``n_test``
    (int64).

    Raises
    ------
    KeyError
        If the screen is not registered, or the representation or the split does not exist.
    ValueError
        If an option is unknown, values are not finite, there are no or too few batches, or fewer
        neighbours than asked for.

    References
    ----------
    Bendidi et al. (2024), section 3.4; weights as Wu et al., Unsupervised feature learning via
    non-parametric instance discrimination (2018).

    Examples
    --------
    >>> import pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, n_batches=4, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=5)
    >>> ps.ev.knn_accuracy(adata, n_seeds=1)
    >>> adata.uns["knn_accuracy"]["n_neighbors"].unique().tolist()
    [30]
    """
    keys.check_key(key_added)
    _check_options(metric, weights, n_neighbors)
    cells = represented(adata, use_rep, need_batches=True)
    sides = drawn_sides(
        adata,
        cells,
        split_key=split_key,
        train_fraction=train_fraction,
        held_out_fraction=0,
        seeds=range(seed, seed + (n_seeds if split_key is None else min(n_seeds, 1))),
    )
    rows: list[dict[str, object]] = []
    for seed_here, *both in sides:
        train, test, labels = with_same_labels(cells, *both, drop_controls=drop_controls)
        k = n_neighbors or math.isqrt(len(train))
        if k > len(train):
            raise ValueError(f"`n_neighbors`={k}, the reference has {len(train)} cells.")
        near = nearest(cells.x[train], k, metric=metric, queries=cells.x[test])
        ranked = _ranked(cells.perturbation[train][near.indices], _vote(near.distances, weights))
        found = accuracies(ranked, cells.perturbation[test])
        rows += [
            {
                "seed": seed_here,
                keys.METRIC: name,
                keys.VALUE: value,
                "n_neighbors": k,
                "n_labels": len(labels),
                "n_test": len(test),
            }
            for name, value in found.items()
        ]
    require_actual(adata)
    adata.uns[key_added] = seed_table(rows)


def _check_options(metric: str, weights: str, n_neighbors: int | None) -> None:
    if metric not in METRICS:
        raise ValueError(f"`metric`={metric!r} must be one of {METRICS}.")
    if weights not in WEIGHTS:
        raise ValueError(f"`weights`={weights!r} must be one of {WEIGHTS}.")
    if weights == SOFTMAX and metric != "cosine":
        raise ValueError("`weights`='softmax' weighs cosines: it needs `metric`='cosine'.")
    if n_neighbors is not None and n_neighbors < 1:
        raise ValueError(f"`n_neighbors`={n_neighbors} must be at least 1.")


def _vote(distances: np.ndarray, weights: str) -> np.ndarray:
    """Weight of each neighbour, float64 ``(queries, k)``."""
    if weights == SOFTMAX:
        # exp(cosine / t) up to a factor of the query
        return np.asarray(np.exp((distances[:, :1] - distances) / TEMPERATURE), np.float64)
    if weights == INVERSE:
        return np.asarray(1 / (distances.astype(np.float64) + SMALLEST_DISTANCE))
    return np.ones(distances.shape)


def _ranked(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    from pertscope.ev._vote_kernels import rank_votes

    return np.asarray(rank_votes(labels, weights, int(labels.max()) + 1, TOP))
