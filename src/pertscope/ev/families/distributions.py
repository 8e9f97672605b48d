"""Distances between predicted and observed populations of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.distances import pearson
from pertscope._core.threads import in_threads
from pertscope.ev._energy import energy_distance, energy_to_reference
from pertscope.ev._metric import ANY, CORRELATION, Metric
from pertscope.ev._mmd import mmd_linear, mmd_rbf
from pertscope.ev._statistics import project
from pertscope.ev._wasserstein import (
    sinkhorn,
    sliced_wasserstein,
    variance_agreement,
    wasserstein_genes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope.ev._comparison import Comparison
    from pertscope.ev._side import Side

SPACES = ("genes", "pca")
ENERGY = "Székely and Rizzo (2013); scPerturb, Peidli et al. (2024)"


def cells(comparison: Comparison, side: Side, i: int, space: str) -> Any:
    """Cells of condition i, at most ``options.max_cells``, in gene or reference PCA space."""

    def read() -> Any:
        options = comparison.options
        x = side.populations.cells(
            int(side.groups[i]), at_most=options.max_cells, seed=options.seed
        )
        if space == "pca":
            return project(x, comparison.reference, options)
        return x.astype(np.float64)

    return side.once(("cells", i), read) if space == "pca" else read()


def _each(distance: Callable[[Any, Any, Comparison], float]) -> Any:
    """Metric that compares the populations of each condition; NaN where one is empty."""

    def one(x: Any, y: Any, comparison: Comparison) -> float:
        return distance(x, y, comparison) if min(x.shape[0], y.shape[0]) > 0 else np.nan

    def metric(comparison: Comparison, space: str) -> np.ndarray:
        sides = (comparison.predicted, comparison.observed)
        pairs = (
            (*(cells(comparison, side, i, space) for side in sides), comparison)
            for i in range(len(comparison))
        )
        return np.array(in_threads(one, pairs), dtype=np.float64)

    return metric


def _energy(x: Any, y: Any, comparison: Comparison) -> float:
    return energy_distance(x, y, unbiased=comparison.options.unbiased)


def _half_energy(x: Any, y: Any, comparison: Comparison) -> float:
    return energy_distance(x, y, form="half", unbiased=comparison.options.unbiased)


def _squared_energy(x: Any, y: Any, comparison: Comparison) -> float:
    return energy_distance(x, y, metric="sqeuclidean", unbiased=comparison.options.unbiased)


def _mmd_rbf(x: Any, y: Any, comparison: Comparison) -> float:
    return mmd_rbf(x, y, unbiased=comparison.options.unbiased)


def _mmd_median(x: Any, y: Any, comparison: Comparison) -> float:
    return mmd_rbf(x, y, gammas="median", unbiased=comparison.options.unbiased)


def _wasserstein(x: Any, y: Any, _: Comparison) -> float:
    return float(wasserstein_genes(x, y).mean())


def _sliced(x: Any, y: Any, comparison: Comparison) -> float:
    return sliced_wasserstein(x, y, seed=comparison.options.seed)


def _variances(comparison: Comparison, _: str) -> np.ndarray:
    a, b = comparison.predicted.moments, comparison.observed.moments
    return variance_agreement(a.variance, a.mean, b.variance, b.mean)


def _magnitudes(comparison: Comparison, space: str) -> np.ndarray:
    """Correlation of the distances to the controls, predicted against observed, by context."""
    value = np.full(len(comparison.contexts), np.nan)
    for c, here in enumerate(comparison.contexts):
        if len(here) > 1:
            both = [
                _to_controls(comparison, side, here, space)
                for side in (comparison.predicted, comparison.observed)
            ]
            value[c] = pearson(both[0][None], both[1][None])[0]
    return value


def _to_controls(comparison: Comparison, side: Side, here: np.ndarray, space: str) -> np.ndarray:
    def compute() -> np.ndarray:
        options, control = comparison.options, int(side.control_groups[here[0]])
        limit = None if options.compat == "cell-eval" else options.max_cells
        read = [(side.controls, control)] + [(side.populations, int(side.groups[i])) for i in here]
        cells = (of.cells(group, at_most=limit, seed=options.seed) for of, group in read)
        if space == "pca":
            cells = (project(x, comparison.reference, options) for x in cells)
        return energy_to_reference(cells, next(cells), unbiased=options.unbiased)

    return side.once(("to controls", space, int(here[0])), compute)


def _metric(
    function: Any, reference: str, half_depth: str = "", spaces: tuple[str, ...] = SPACES
) -> Metric:
    return Metric(function, spaces, False, ANY, "cells", reference, half_depth=half_depth)


METRICS: dict[str, Metric] = {
    "energy_distance": _metric(_each(_energy), ENERGY, "square"),
    "half_energy_distance": _metric(_each(_half_energy), ENERGY, "square"),
    "squared_energy_distance": _metric(_each(_squared_energy), ENERGY, "square"),
    "mmd_linear": _metric(
        _each(lambda x, y, _: mmd_linear(x, y)), "Gretton et al. (2012)", "square"
    ),
    "mmd_rbf": _metric(_each(_mmd_rbf), "Gretton et al. (2012); widths of CellFlow", "square"),
    "mmd_rbf_median": _metric(_each(_mmd_median), "Gretton et al. (2012)", "square"),
    "wasserstein": _metric(_each(_wasserstein), "Villani (2009)", "root"),
    "sliced_wasserstein": _metric(_each(_sliced), "Bonneel et al. (2015)", "root"),
    "sinkhorn": _metric(_each(lambda x, y, _: sinkhorn(x, y)), "Cuturi (2013)"),
    "variance_spearman": Metric(
        _variances,
        ("genes",),
        True,
        CORRELATION,
        "cells",
        "pertscope",
        half_depth="spearman-brown",
    ),
    "magnitude_pearson": Metric(
        _magnitudes,
        SPACES,
        True,
        CORRELATION,
        "cells",
        "Arc Institute, cell-eval",
        level="context",
        half_depth="spearman-brown",
    ),
}
