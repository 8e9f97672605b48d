"""Energy distance between populations of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.messages import listed
from pertscope._core.moments import Moments, moments
from pertscope._core.threads import in_threads
from pertscope.ev._pairs import (
    centre_of,
    population,
    populations,
    right_tiles,
    sum_over_own_pairs,
    sum_over_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMS = {"full": 1.0, "half": 0.5}
METRICS = ("euclidean", "sqeuclidean")


def energy_distance(
    x: Any,
    y: Any,
    *,
    form: str = "full",
    unbiased: bool = False,
    metric: str = "euclidean",
) -> float:
    """Energy distance of two populations.

    ``2 E|x - y| - E|x - x'| - E|y - y'|``, the mean distance between the populations against the
    mean distances within them (Szekely and Rizzo, J. Stat. Plan. Inference 2013).

    Parameters
    ----------
    x, y
        Cells of the populations, CSR or dense ``(n, d)`` and ``(m, d)``.
    form
        ``"full"`` as above (pertpy, cell-eval, scPerturb), or ``"half"`` of it:
        ``E|x - y| - E|x - x'| / 2 - E|y - y'| / 2`` (geomloss, PerturBench's "MMD").
    unbiased
        False: the V-statistic, where the means within count each cell with itself; never negative.
        True: the U-statistic, which divides by ``n (n - 1)``, has mean 0 for equal populations, and
        is NaN where one has a single cell.
    metric
        ``"euclidean"``: O(n m d), a tile of distances at a time.
        ``"sqeuclidean"``: the squared distance, which needs only means and variances, O((n + m) d).

    Raises
    ------
    ValueError
        If `form` or `metric` is unknown, a population is empty or holds NaN or infinite values, or
        the columns differ.
    """
    return float(energy_to_reference([x], y, form=form, unbiased=unbiased, metric=metric)[0])


def energy_to_reference(
    groups: Iterable[Any],
    reference: Any,
    *,
    form: str = "full",
    unbiased: bool = False,
    metric: str = "euclidean",
) -> np.ndarray:
    """Energy distance of many populations to one, whose own term is computed once.

    Parameters
    ----------
    groups
        Cells of each population, CSR or dense ``(n_g, d)``; read one after the other.
    reference
        Cells of the reference, CSR or dense ``(m, d)``.
    form, unbiased, metric
        As in :func:`energy_distance`.

    Returns
    -------
    float64 ``(groups,)``.
    """
    if form not in FORMS:
        raise ValueError(f"`form`={form!r} must be one of {listed(FORMS)}.")
    _check_metric(metric)
    reference = population(reference, "reference")
    energies = _euclidean if metric == "euclidean" else _squared
    found = FORMS[form] * energies(groups, reference, unbiased)
    return found if unbiased else np.maximum(found, 0)  # below 0 by rounding alone


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(f"`metric`={metric!r} must be one of {listed(METRICS)}.")


def _root(squared: np.ndarray) -> np.ndarray:
    return np.sqrt(squared, out=squared)


def _euclidean(groups: Iterable[Any], reference: Any, unbiased: bool) -> np.ndarray:
    (own,) = in_threads(_own_mean, [(reference, unbiased)])

    def one(x: Any, right: list[Any], centre: np.ndarray | None) -> float:
        total = sum_over_pairs(x, right, centre, _root)
        between = total / (x.shape[0] * reference.shape[0])
        return 2 * between - _own_mean(x, unbiased) - own

    def each() -> Iterator[tuple[Any, list[Any], np.ndarray | None]]:
        against: dict[bool, tuple[list[Any], np.ndarray | None]] = {}
        for i, group in enumerate(groups):
            x, _ = populations(group, reference[:1], (f"groups[{i}]", "reference"))
            sparse = sp.issparse(x) or sp.issparse(reference)
            if sparse not in against:
                centre = centre_of(x, reference)
                against[sparse] = right_tiles(reference, centre), centre
            yield x, *against[sparse]

    return np.array(in_threads(one, each()), dtype=np.float64)


def _own_mean(x: Any, exclude_self: bool) -> float:
    n = x.shape[0]
    n_pairs = n * (n - 1) if exclude_self else n * n
    return sum_over_own_pairs(x, _root) / n_pairs if n_pairs else np.nan


def _squared(groups: Iterable[Any], reference: Any, unbiased: bool) -> np.ndarray:
    """Twice the squared distance of the means; what the U-statistic takes off is their variance."""
    found = []
    b = _moments(reference)
    for i, group in enumerate(groups):
        x, _ = populations(group, reference[:1], (f"groups[{i}]", "reference"))
        a = _moments(x)
        found.append(2 * ((a.mean - b.mean) ** 2).sum())
        if unbiased:
            found[i] -= sum(_own_squared(m, True) - _own_squared(m, False) for m in (a, b))
    return np.array(found)


def _own_squared(of: Moments, exclude_self: bool) -> float:
    n_others = of.n[0] - 1 if exclude_self else of.n[0]
    return float(2 * of.m2.sum() / n_others) if n_others else np.nan


def _moments(x: Any) -> Moments:
    return moments(x, np.zeros(x.shape[0], np.int64), 1)
