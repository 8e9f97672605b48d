"""Exact and approximate search of :mod:`pertscope._core.neighbors`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

from pertscope._core.threads import in_threads

ROWS, COLUMNS = 1024, 1024
"""Queries and points of a tile of float32 distances: the cache of a core holds it."""

SAMPLED = 32
"""One point in so many tells about how far the nearest ones are."""

ROOM = 3
"""Candidates of a row that there is room for, in multiples of those that are kept."""

SPARE = 16
"""Candidates beyond k that are kept in float32, so that few rows must be searched again."""


@dataclass(frozen=True)
class Search:
    """Points, and queries whose nearest points are wanted.

    Attributes
    ----------
    x
        Points, float64 ``(n, d)``: not far from 1 in size, or rows of length 1 or 0 if `unit`.
    queries
        float64 ``(m, d)``; ``None`` for the points themselves, each without itself.
    unit
        Whether squared distances are twice the cosine's: 2 from and to a row of zeros.
    """

    x: np.ndarray
    queries: np.ndarray | None
    unit: bool
    _own: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        m = len(self.x) if self.queries is None else len(self.queries)
        own = np.arange(m) if self.queries is None else np.full(m, -1)
        object.__setattr__(self, "_own", own)

    @property
    def asked(self) -> np.ndarray:
        """The queries, or the points themselves."""
        return self.x if self.queries is None else self.queries

    def exact(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices and squared distances of the k nearest, ``(m, k)`` each, by value, then index."""
        from pertscope._core import _neighbor_kernels as kernels

        x, asked = self.x, self.asked
        n, d = x.shape
        kept = min(k + SPARE, n - (self.queries is None))
        centre = np.zeros(d) if self.unit else x.mean(axis=0)
        # rows of `left` times columns of `right` are squared distances minus the query's square
        left = np.ones((len(asked), d + 1), np.float32)
        left[:, :d] = (asked - centre) * -2
        right = np.ones((n, d + 1), np.float32)
        right[:, :d] = x - centre
        if not self.unit:
            right[:, d] = np.einsum("ij,ij->i", x - centre, x - centre)
        squares, asked_squares = _squares(x, self.unit), _squares(asked, self.unit)
        indices = np.empty((len(asked), k), np.int64)
        squared = np.empty((len(asked), k))

        def search(start: int) -> None:
            rows = slice(start, min(start + ROWS, len(asked)))
            n_rows = rows.stop - start
            limits = _limits(left[rows] @ right[::SAMPLED].T, kept)
            keys, filled = np.empty((n_rows, ROOM * kept), np.uint64), np.zeros(n_rows, np.int64)
            for first in range(0, n, COLUMNS):
                tile = left[rows] @ right[first : first + COLUMNS].T
                kernels.keep_smallest(tile, first, self._own[rows], kept, keys, filled, limits)
            which, largest = np.empty((n_rows, kept), np.int64), np.empty(n_rows, np.float32)
            kernels.smallest(keys, filled, which, largest)
            kernels.refine(
                asked[rows], asked_squares[rows], x, squares, which, indices[rows], squared[rows]
            )
            if kept < n - (self.queries is None):
                nearby = np.linalg.norm(left[rows, :d].astype(np.float64), axis=1) / 2
                farthest = squared[rows, -1]
                # all points that were not kept and are as near as the k-th have a computed
                # distance within this of their true one
                rounding = (d + 8) * 2.0**-23 * (2 * nearby + np.sqrt(farthest)) ** 2 + 1e-30
                base = 1 if self.unit else nearby**2
                unsure = start + np.flatnonzero(farthest + rounding >= largest + base)
                if len(unsure):
                    found = np.empty((len(unsure), k), np.int64), np.empty((len(unsure), k))
                    kernels.search_rows(
                        asked[unsure], asked_squares[unsure], self._own[unsure], x, squares, *found
                    )
                    indices[unsure], squared[unsure] = found

        in_threads(search, ((start,) for start in range(0, len(asked), ROWS)))
        return indices, squared

    def approximate(self, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices and squared distances of k near points, as pynndescent finds them."""
        from pynndescent import NNDescent

        from pertscope._core import _neighbor_kernels as kernels

        x, asked = self.x, self.asked
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynndescent on duplicates: candidates are measured
            # one thread: pynndescent's neighbours depend on their number
            index = NNDescent(x.astype(np.float32), n_neighbors=k + 1, random_state=seed, n_jobs=1)
            which = (
                index.neighbor_graph[0]
                if self.queries is None
                else index.query(asked.astype(np.float32), k=k)[0]
            )
        if self.queries is None:
            which = _without(which, self._own)
        indices = np.empty((len(asked), k), np.int64)
        squared = np.empty((len(asked), k))
        squares, asked_squares = _squares(x, self.unit), _squares(asked, self.unit)
        which = np.ascontiguousarray(which, dtype=np.int64)
        kernels.refine(asked, asked_squares, x, squares, which, indices, squared)
        return indices, squared


def _limits(sample: np.ndarray, kept: int) -> np.ndarray:
    """Values below which a row's `kept` smallest lie but for few rows, from those of a sample."""
    expected = kept / SAMPLED
    rank = int(expected + 4 * np.sqrt(expected) + 5)  # one more is the row's own
    if rank >= sample.shape[1]:
        return np.full(len(sample), np.inf, np.float32)
    return np.nextafter(np.partition(sample, rank, axis=1)[:, rank], np.float32(np.inf))


def _squares(x: np.ndarray, unit: bool) -> np.ndarray:
    """-1 for a row of zeros if `unit`, else 1."""
    return np.where(unit & ~x.any(axis=1), -1.0, 1.0)


def _without(which: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Candidates of each row, one fewer: without the row itself, or without the last."""
    drop = which == own[:, None]
    drop[~drop.any(axis=1), -1] = True
    return which[~drop].reshape(len(which), -1)
