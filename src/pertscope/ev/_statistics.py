"""How a population is summarised before it is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.batch_effects import AUTO, batch_adjusted_effects
from pertscope._core.messages import listed
from pertscope._core.statistics import LOGFC_PSEUDOCOUNT, effect, logfc, require_logfc, snap
from pertscope.ev._gene_tests import GENE_TESTS, gene_test
from pertscope.ev._populations import take_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pertscope.ev._comparison import Options
    from pertscope.ev._side import Side

OF_MEANS = ("mean", "effect", "logfc", "logfc_counts", "ba_ate", "pca")
OF_CELLS = ("variance", "cv")
STATISTICS = (*OF_MEANS, *OF_CELLS, *GENE_TESTS)
"""Every statistic: of means, of variances, and the scores of gene tests."""

PCA_CELLS = 20_000
"""The reference PCA is fitted on at most this many cells."""


def values_of(side: Side, statistic: str, *, reference: Side, options: Options) -> np.ndarray:
    """Statistic of each condition of a side, float64 ``(p, values)``.

    Parameters
    ----------
    statistic
        One of :data:`STATISTICS`.
    reference
        Observed side, whose cells the PCA is fitted on, and which says how large batches are.
    """

    def compute() -> np.ndarray:
        if statistic in GENE_TESTS:
            return gene_test(side, statistic).score
        if statistic in OF_CELLS:
            return _spread(side, statistic)
        if statistic == "pca":
            centre, axes = _pca(reference, options)
            return (side.moments.mean - centre) @ axes
        if statistic == "ba_ate":
            size = options.batch_size
            return _batch_adjusted(side, reference.populations.batch_size if size == AUTO else size)
        return side.moments.mean if statistic == "mean" else _change(side, statistic, options)

    return side.once(("statistic", statistic), compute)


def _change(side: Side, statistic: str, options: Options) -> np.ndarray:
    """Statistics against the controls."""
    control = side.control_moments.mean
    mean = snap(side.moments.mean, control)
    if statistic == "effect":
        return effect(mean, control)
    if statistic == "logfc":
        return logfc(mean, control, clip=options.compat is None)
    counts, control = np.expm1(np.maximum(mean, 0)), np.expm1(control)
    return np.log2(counts + LOGFC_PSEUDOCOUNT) - np.log2(control + LOGFC_PSEUDOCOUNT)


def _batch_adjusted(side: Side, batch_size: str) -> np.ndarray:
    """BA-ATE; a prediction, which has no batches, against the mean of the controls' batches."""
    controls = side.controls.batched
    if side.populations.batch is not None:
        cells = side.populations.batched
        return batch_adjusted_effects(
            cells, side.groups, controls, side.control_groups, batch_size=batch_size
        )
    by_batch = controls.by_batch(side.control_groups)
    control = {group: mean.mean(axis=0) for group, (_, mean) in by_batch.items()}
    return side.moments.mean - np.array([control[int(group)] for group in side.control_groups])


def _spread(side: Side, statistic: str) -> np.ndarray:
    if not side.has_cells:
        return np.full_like(side.moments.mean, np.nan)
    if statistic == "variance":
        return side.moments.variance
    mean, sd = side.moments.mean, np.sqrt(side.moments.variance)
    return np.divide(sd, mean, out=np.zeros_like(sd), where=mean != 0)


def _pca(reference: Side, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the reference cells, ``(genes,)``, and principal axes, ``(genes, components)``."""

    def fit() -> tuple[np.ndarray, np.ndarray]:
        from sklearn.decomposition import PCA

        populations = reference.populations
        groups = np.union1d(reference.groups, reference.control_groups)
        rows = np.flatnonzero(np.isin(populations.codes, groups))
        if len(rows) > PCA_CELLS:
            rng = np.random.default_rng(options.seed)
            rows = np.sort(rng.choice(rows, PCA_CELLS, replace=False))
        x = take_rows(populations.matrix, rows).astype(np.float64)
        n = min(options.n_components, min(x.shape) - 1)
        if n < 1:
            raise ValueError(
                f"a PCA of {x.shape[0]} cell(s) and {x.shape[1]} gene(s) has no components."
            )
        solver = "arpack" if sp.issparse(x) else "randomized"
        if x.shape[1] <= 1000 < x.shape[0]:
            solver = "covariance_eigh"
        pca = PCA(n, svd_solver=solver, random_state=options.seed).fit(x)
        return pca.mean_, pca.components_.T

    return reference.once(("pca", options.n_components, options.seed), fit)


def project(cells: Any, reference: Side, options: Options) -> np.ndarray:
    """Cells in the reference PCA, float64 ``(cells, components)``."""
    centre, axes = _pca(reference, options)
    return np.asarray(cells @ axes, dtype=np.float64) - centre @ axes


def check_statistics(names: Sequence[str]) -> None:
    """Refuse unknown statistics."""
    if isinstance(names, str):
        raise TypeError(f"`statistics` takes a list: [{names!r}].")
    unknown = [s for s in names if s not in STATISTICS]
    if unknown:
        raise ValueError(f"unknown statistic(s) {listed(unknown)}; there are {listed(STATISTICS)}.")


def check_logfc(observed: Side, statistics: Sequence[str]) -> None:
    """Refuse log fold changes for a screen that has none."""
    if {"logfc", "logfc_counts"} & set(statistics):
        genes = list(observed.populations.genes)
        for mean in (observed.moments.mean, observed.control_moments.mean):
            require_logfc(mean, genes, "the screen")
