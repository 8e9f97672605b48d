"""Silhouettes by label, and by batch within labels; blocks of distances at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.distances import unit_rows
from pertscope._core.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHERS = ("nearest", "mean", "furthest")
ROWS, COLUMNS = 512, 2048
"""Points of a tile of distances: the cache of a core holds it."""


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
    x = unit_rows(x) if metric == "cosine" else np.asarray(x, dtype=np.float64)
    within = np.zeros(len(x), np.int64) if within is None else within
    order = np.lexsort((codes, within))
    found = np.zeros(len(x))
    sums_of = _cosine_sums if metric == "cosine" else _euclidean_sums

    def block(rows: np.ndarray, prepared: tuple[np.ndarray, ...], start: int) -> None:
        edges = prepared[-1]
        stop = min(start + ROWS, len(rows))
        sums = sums_of(prepared, start, stop)
        own = np.searchsorted(edges, np.arange(start, stop), side="right") - 1
        found[rows[start:stop]] = _from_sums(sums, own, np.diff(edges), other)

    def tasks() -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...], int]]:
        for rows in np.split(order, np.flatnonzero(np.diff(within[order])) + 1):
            edges = np.append(0, np.flatnonzero(np.diff(codes[rows])) + 1)
            edges = np.append(edges, len(rows))
            if len(edges) == 2:
                continue
            prepare = _cosine_parts if metric == "cosine" else _euclidean_parts
            prepared = prepare(x[rows], edges)
            for start in range(0, len(rows), ROWS):
                yield rows, prepared, start

    in_threads(block, tasks())
    return found


def _euclidean_parts(x: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, ...]:
    """Points of a size that float32 squares hold; a scale changes no silhouette."""
    largest = np.abs(x).max(initial=0)
    return x / 2.0 ** np.floor(np.log2(largest)) if largest > 0 else x, edges


def _euclidean_sums(prepared: tuple[np.ndarray, ...], start: int, stop: int) -> np.ndarray:
    """Sums of distances by label, from products in float32.

    They are taken about the mean of the rows: what is near them, such as the points of their own
    label, keeps its digits.
    """
    from pertscope.ev import _silhouette_kernels as kernels

    x, edges = prepared
    centre = x[start:stop].mean(axis=0)
    left = _augmented(x[start:stop], centre)
    left_squares = left[:, -1].copy()
    left[:, :-2] *= -2
    left[:, -2:] = left[:, :-3:-1]  # ones against squares
    sums = np.zeros((stop - start, len(edges) - 1))
    for first in range(0, len(x), COLUMNS):
        points = x[first : first + COLUMNS]
        right = _augmented(points, centre)
        squares = right[:, -1].copy()
        kernels.add_distances(
            left @ right.T, left_squares, squares, x[start:stop], points, first, edges, sums
        )
    return sums


def _augmented(x: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Points minus `centre`, then 1, then their squares, float32 ``(n, d + 2)``."""
    found = np.ones((len(x), x.shape[1] + 2), np.float32)
    found[:, :-2] = x - centre
    found[:, -1] = np.einsum("ij,ij->i", found[:, :-2], found[:, :-2])
    return found


def _cosine_parts(x: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, ...]:
    return x, np.add.reduceat(x, edges[:-1], axis=0), edges


def _cosine_sums(prepared: tuple[np.ndarray, ...], start: int, stop: int) -> np.ndarray:
    x, totals, edges = prepared
    x = x[start:stop]
    sums = np.diff(edges) - x @ totals.T
    own = np.searchsorted(edges, np.arange(start, stop), side="right") - 1
    sums[np.arange(len(x)), own] -= 1 - np.einsum("ij,ij->i", x, x)
    return np.maximum(sums, 0)


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
