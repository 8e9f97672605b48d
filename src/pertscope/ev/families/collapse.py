"""Collapse: does a model predict the same for everything?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.distances import cosine, pairwise_l2, unit_rows
from pertscope.ev._metric import ANY, CORRELATION, SHARE, Metric
from pertscope.ev._ranks import TIE_TOLERANCE
from pertscope.ev._statistics import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pertscope.ev._comparison import Comparison

EQUATION_4 = "Wu et al., PerturBench (2024), equation 4"
OURS = "pertscope"
CELL_EVAL = "Arc Institute, cell-eval"
N_NEIGHBORS, RESOLUTIONS = 15, (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)


def similarities(values: np.ndarray) -> np.ndarray:
    """Cosine similarity of all pairs of conditions, float64 ``(p, p)``."""
    unit = unit_rows(values)
    return np.clip(unit @ unit.T, -1, 1)


def _matrix_distance(comparison: Comparison, statistic: str) -> np.ndarray:
    predicted, observed = comparison.pair(statistic)
    return np.array([np.linalg.norm(similarities(predicted) - similarities(observed))])


def _dispersion(values: np.ndarray) -> float:
    return float(np.sqrt(np.sum((values - values.mean(axis=0)) ** 2)))


def _dispersion_ratio(comparison: Comparison, statistic: str) -> np.ndarray:
    predicted, observed = comparison.pair(statistic)
    ratio = np.full(len(comparison.contexts), np.nan)
    for i, here in enumerate(comparison.contexts):
        spread = _dispersion(observed[here])
        if spread > 0:
            ratio[i] = _dispersion(predicted[here]) / spread
    return ratio


def _cosine_to_mean(comparison: Comparison, statistic: str) -> np.ndarray:
    predicted, _ = comparison.pair(statistic)
    value = np.full(len(comparison), np.nan)
    for here in comparison.contexts:
        if len(here) > 1:
            mean = np.broadcast_to(predicted[here].mean(axis=0), predicted[here].shape)
            value[here] = cosine(predicted[here], mean)
    return value


def _crowded(comparison: Comparison, statistic: str) -> np.ndarray:
    predicted, observed = comparison.pair(statistic)
    share = np.full(len(comparison.contexts), np.nan)
    for i, here in enumerate(comparison.contexts):
        if len(here) > 1:
            nearest = _nearest(predicted[here])
            closest = _nearest(observed[here]).min()
            share[i] = np.mean(nearest < closest * (1 - TIE_TOLERANCE))
    return share


def _nearest(values: np.ndarray) -> np.ndarray:
    """Distance of each condition to its nearest other one."""
    gaps = pairwise_l2(values, values)
    np.fill_diagonal(gaps, np.inf)
    return gaps.min(axis=1)


def _clusters(values: np.ndarray, resolutions: Sequence[float]) -> list[np.ndarray]:
    """Leiden clusters of conditions on their neighbour graph, one for each resolution."""
    import anndata as ad
    import scanpy as sc

    adata = ad.AnnData(values)
    sc.pp.neighbors(adata, n_neighbors=min(N_NEIGHBORS, len(values) - 1), use_rep="X")
    found = []
    for resolution in resolutions:
        sc.tl.leiden(adata, resolution=resolution, flavor="igraph", n_iterations=2)
        found.append(adata.obs["leiden"].cat.codes.to_numpy())
    return found


def _clustering_agreement(comparison: Comparison, statistic: str) -> np.ndarray:
    """Best adjusted mutual information over resolutions of the predicted clusters."""
    from sklearn.metrics import adjusted_mutual_info_score

    predicted, observed = comparison.pair(statistic)
    value = np.full(len(comparison.contexts), np.nan)
    for i, here in enumerate(comparison.contexts):
        if len(here) > 2:
            (truth,) = _clusters(observed[here], [1.0])
            found = _clusters(predicted[here], RESOLUTIONS)
            value[i] = max(0.0, *(adjusted_mutual_info_score(truth, f) for f in found))
    return value


METRICS: dict[str, Metric] = {
    "matrix_distance": Metric(
        _matrix_distance, STATISTICS, False, ANY, "means", EQUATION_4, level="all"
    ),
    "dispersion_ratio": Metric(
        _dispersion_ratio, STATISTICS, None, ANY, "means", OURS, level="context"
    ),
    "cosine_to_mean": Metric(_cosine_to_mean, STATISTICS, None, CORRELATION, "means", OURS),
    "crowded_share": Metric(_crowded, STATISTICS, None, SHARE, "means", OURS, level="context"),
    "clustering_agreement": Metric(
        _clustering_agreement, STATISTICS, True, CORRELATION, "means", CELL_EVAL, level="context"
    ),
}
