"""Silhouettes by label, and by batch within labels; blocks of distances at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.distances import unit_rows
from pertscope._core.threads import in_threads
from pertscope.ev._silhouette_sums import CosineSums, EuclideanSums

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHERS = ("nearest", "mean", "furthest")
ROWS = 1024
"""Points whose sums of distances are taken together."""


def silhouettes(
    x: np.ndarray,
    codes: np.ndarray,
    *,
    within: np.ndarray | None = None,
    metric: str = "euclidean",
    other: str = "nearest",
) -> np.ndarray:
    """Silhouette ``(b - a) / max(a, b)`` of each point.

    a is the mean distance to the other points of its label, b that to the points of another label:
    the nearest label, as Rousseeuw, the furthest, or all of them (``"mean"``), as BRAS. 0 for the
    only point of a label, or where there is one label. Never more than a block of distances is
    held; mean cosine distances need none, since ``mean_j (1 - u.u_j) = 1 - u.mean_j u_j``.

    Parameters
    ----------
    x
        Points, ``(n, d)``.
    codes
        Label of each point, int64 ``(n,)``.
    within
        Group of each point, int64 ``(n,)``: points of other groups do not count. One group by
        default.
    metric
        ``"euclidean"``, or ``"cosine"``, by which a row of zeros is at 1 from all others.
    other
        ``"nearest"``, ``"mean"`` or ``"furthest"``.

    Returns
    -------
    float64 ``(n,)``.

    References
    ----------
    Rousseeuw, J. Comput. Appl. Math. 20 (1987); Rautenstrauch and Ohler, Nature Biotechnology
    (2025) for BRAS.
    """
    sums_of = CosineSums if metric == "cosine" else EuclideanSums
    x = unit_rows(x) if metric == "cosine" else np.asarray(x, dtype=np.float64)
    within = np.zeros(len(x), np.int64) if within is None else within
    order = np.lexsort((codes, within))
    found = np.zeros(len(x))

    def block(rows: np.ndarray, points: CosineSums | EuclideanSums, start: int) -> None:
        stop = min(start + ROWS, len(rows))
        own = np.searchsorted(points.edges, np.arange(start, stop), side="right") - 1
        sums = points.sums(start, stop, own, other)
        found[rows[start:stop]] = _from_sums(sums, own, np.diff(points.edges), other)

    def tasks() -> Iterator[tuple[np.ndarray, CosineSums | EuclideanSums, int]]:
        for rows in np.split(order, np.flatnonzero(np.diff(within[order])) + 1):
            edges = np.append(0, np.flatnonzero(np.diff(codes[rows])) + 1)
            edges = np.append(edges, len(rows))
            if len(edges) == 2:
                continue
            points = sums_of(x[rows], edges)
            for start in range(0, len(rows), ROWS):
                yield rows, points, start

    in_threads(block, tasks())
    return found


def _from_sums(sums: np.ndarray, own: np.ndarray, size: np.ndarray, other: str) -> np.ndarray:
    """Silhouettes of rows from their sums of distances by label, ``(rows, labels)``."""
    each = np.arange(len(sums))
    alone = size[own] == 1
    a = sums[each, own] / np.maximum(size[own] - 1, 1)
    if other == "mean":
        sums[each, own] = 0
        b = sums.sum(axis=1) / (size.sum() - size[own])
    else:
        mean = sums / size
        mean[each, own] = np.inf if other == "nearest" else -np.inf
        b = mean.min(axis=1) if other == "nearest" else mean.max(axis=1)
    larger = np.maximum(a, b)
    found = np.divide(b - a, larger, out=np.zeros(len(a)), where=larger > 0)
    found[alone] = 0
    return found


def batch_silhouettes(
    x: np.ndarray,
    labels: np.ndarray,
    batch: np.ndarray,
    *,
    metric: str = "euclidean",
    other: str = "nearest",
) -> np.ndarray:
    """``1 - |silhouette by batch|`` within each label, averaged over its cells.

    1 where batches are mixed. NaN for a label that is in one batch, or whose cells are all in
    different batches: it has no distances within a batch, or none between batches.

    Parameters
    ----------
    x
        Points, ``(n, d)``.
    labels, batch
        Codes of each point, int64 ``(n,)``.
    metric, other
        As in :func:`silhouettes`; ``"cosine"`` and ``"mean"`` make it BRAS.

    Returns
    -------
    float64 ``(labels,)``, in the order of the codes.
    """
    n_cells = np.bincount(labels)
    pairs = np.unique(labels * (int(batch.max()) + 1) + batch)
    n_batches = np.bincount(pairs // (int(batch.max()) + 1), minlength=len(n_cells))
    skipped = (n_batches <= 1) | (n_batches == n_cells)
    rows = np.flatnonzero(~skipped[labels])
    found = np.full(len(n_cells), np.nan)
    if len(rows):
        s = 1 - np.abs(
            silhouettes(x[rows], batch[rows], within=labels[rows], metric=metric, other=other)
        )
        total = np.bincount(labels[rows], weights=s, minlength=len(n_cells))
        np.divide(total, n_cells, out=found, where=~skipped)
    return found
