"""Sums of the distances of points to the points of each label."""

from __future__ import annotations

import numpy as np

COLUMNS = 1024
"""Points that a block of rows is held against: the cache of a core holds their distances. So few
are held against each other without asking which labels matter."""

LARGE = 4
"""Points per dimension from which the variance of a label's distances is cheaper than they are."""

ROUNDING = 1e-13
"""Share of what a distance is the difference of that may be rounding."""


class CosineSums:
    """Cosine distances, from the sum of each label: ``sum_j (1 - u.u_j) = n - u.sum_j u_j``.

    Parameters
    ----------
    x
        Points of length 1 or 0 in the order of their labels, float64 ``(n, d)``.
    edges
        Points of label c are ``edges[c], ..., edges[c + 1] - 1``, int64 ``(labels + 1,)``.
    """

    def __init__(self, x: np.ndarray, edges: np.ndarray) -> None:
        self.x, self.edges = x, edges
        self.totals = np.add.reduceat(x, edges[:-1], axis=0)

    def sums(self, start: int, stop: int, own: np.ndarray, other: str) -> np.ndarray:
        """Sums of the rows ``start, ..., stop - 1``, float64 ``(rows, labels)``."""
        x = self.x[start:stop]
        size = np.diff(self.edges)
        sums = size - x @ self.totals.T
        sums[np.arange(len(x)), own] -= 1 - np.einsum("ij,ij->i", x, x)
        sums[sums < ROUNDING * size] = 0
        return sums


class EuclideanSums:
    r"""Euclidean distances, from products in float32, to the labels that can matter.

    Whether a label can be the nearest (or the furthest) is known from its moments. With
    :math:`s` the squared distance of a row to a point of the label, whose mean m and variance w
    over the label's points follow from the label's mean, covariance and higher moments,

    .. math::
        \sqrt m \, \Big(1 - \frac{w}{2 m^2}\Big) \le \operatorname{mean} \sqrt s \le \sqrt m ,

    since :math:`\sqrt u \ge 1 + (u - 1) / 2 - (u - 1)^2 / 2` for all :math:`u = s / m \ge 0`. The
    distance to the label's mean is another lower bound.

    Parameters
    ----------
    x
        Points in the order of their labels, float64 ``(n, d)``.
    edges
        Points of label c are ``edges[c], ..., edges[c + 1] - 1``, int64 ``(labels + 1,)``.
    """

    def __init__(self, x: np.ndarray, edges: np.ndarray) -> None:
        x = x - x.mean(axis=0)  # a common shift or scale changes no silhouette
        largest = np.abs(x).max(initial=0)
        self.x = x / 2.0 ** np.floor(np.log2(largest)) if largest > 0 else x
        self.edges, self.size = edges, np.diff(edges)
        if len(x) <= COLUMNS:
            self.right = _augmented(self.x)
            return
        self.centroids = np.add.reduceat(self.x, edges[:-1], axis=0) / self.size[:, None]
        self.about = self.x - np.repeat(self.centroids, self.size, axis=0)
        self.squares = np.einsum("ij,ij->i", self.about, self.about)
        self.spread = np.add.reduceat(self.squares, edges[:-1]) / self.size
        self.right = _augmented(self.about)
        self._moments: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}

    def sums(self, start: int, stop: int, own: np.ndarray, other: str) -> np.ndarray:
        """Sums of the rows ``start, ..., stop - 1``, float64 ``(rows, labels)``.

        Infinite where the label cannot be the `other` one.
        """
        x = self.x[start:stop]
        if len(self.x) <= COLUMNS:
            sums = np.zeros((len(x), len(self.size)))
            _add_distances(x, self.x, self.right, self.edges, sums)
            return sums
        needed = self._needed(x, own, other)
        sums = np.full(needed.shape, np.inf if other == "nearest" else -np.inf)
        for label in np.flatnonzero(needed.any(axis=0)):
            rows = np.flatnonzero(needed[:, label])
            about = x[rows] - self.centroids[label]
            total = np.zeros((len(rows), 1))
            for first in range(self.edges[label], self.edges[label + 1], COLUMNS):
                points = slice(first, min(first + COLUMNS, self.edges[label + 1]))
                whole = np.array([0, points.stop - first])
                _add_distances(about, self.about[points], self.right[points], whole, total)
            sums[rows, label] = total[:, 0]
        return sums

    def _needed(self, x: np.ndarray, own: np.ndarray, other: str) -> np.ndarray:
        """Whether the distances of a row to a label can matter, bool ``(rows, labels)``."""
        needed = np.ones((len(x), len(self.size)), bool)
        if other == "mean" or len(self.size) == 2:
            return needed
        squares = np.einsum("ij,ij->i", x, x)[:, None]
        of_centroids = np.einsum("ij,ij->i", self.centroids, self.centroids)
        squared = squares - 2 * x @ self.centroids.T + of_centroids
        slack = ROUNDING * (squares + of_centroids)
        low = np.sqrt(np.maximum(squared - slack, 0))
        high = np.sqrt(np.maximum(squared, 0) + self.spread + slack)
        each = np.arange(len(x))
        if other == "nearest":
            high[each, own] = np.inf
            likely = high.argmin(axis=1)  # needed, whatever its bounds
            needed = low <= high[each, likely][:, None]
            needed[each, own] = needed[each, likely] = False
            self._sharpen(x, needed, low)
            needed &= low <= high[each, likely][:, None]
            needed[each, likely] = True
        else:
            low[each, own] = -np.inf
            needed = high >= low.max(axis=1, keepdims=True)
            needed[each, own] = False
            self._sharpen(x, needed, low)
            needed &= high >= low.max(axis=1, keepdims=True)
        needed[each, own] = True
        return needed

    def _sharpen(self, x: np.ndarray, needed: np.ndarray, low: np.ndarray) -> None:
        """Raise the lower bounds by the variance of the squared distances.

        For labels of several times more points than dimensions: the distances to others cost no
        more.
        """
        for label in np.flatnonzero(needed.any(axis=0) & (self.size > LARGE * x.shape[1])):
            rows = np.flatnonzero(needed[:, label])
            covariance, skew, variance = self._moments_of(int(label))
            y = x[rows] - self.centroids[label]
            mean = np.einsum("ij,ij->i", y, y) + self.spread[label]
            w = variance + 4 * (np.einsum("ij,ij->i", y @ covariance, y) - y @ skew)
            bound = np.sqrt(mean) * (1 - ROUNDING - w / (2 * np.maximum(mean, 1e-150) ** 2))
            low[rows, label] = np.maximum(low[rows, label], bound)

    def _moments_of(self, label: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Of a label's points about their mean: covariance, covariance with squares, theirs."""
        if label not in self._moments:
            points = slice(self.edges[label], self.edges[label + 1])
            about = self.about[points]
            rest = self.squares[points] - self.spread[label]
            n = len(about)
            self._moments[label] = about.T @ about / n, rest @ about / n, float(rest @ rest / n)
        return self._moments[label]


def _add_distances(
    left: np.ndarray, right: np.ndarray, augmented: np.ndarray, edges: np.ndarray, sums: np.ndarray
) -> None:
    """Add distances of `left` to `right`, ``(points, d)``, by label, to ``(rows, labels)``."""
    from pertscope.ev import _silhouette_kernels as kernels

    turned = _augmented(left)
    squares = turned[:, -1].copy()
    turned[:, :-2] *= -2
    turned[:, -2:] = turned[:, :-3:-1]  # ones against squares
    squared = turned @ augmented.T
    kernels.add_distances(squared, squares, augmented[:, -1], left, right, edges, sums)


def _augmented(x: np.ndarray) -> np.ndarray:
    """Points, then 1, then their squares, float32 ``(n, d + 2)``."""
    found = np.ones((len(x), x.shape[1] + 2), np.float32)
    found[:, :-2] = x
    found[:, -1] = np.einsum("ij,ij->i", found[:, :-2], found[:, :-2])
    return found
