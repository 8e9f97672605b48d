"""How well a profile retrieves its positives among its negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.distances import centred_rows, unit_rows
from pertscope._core.messages import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import scipy.sparse as sp

METRICS = ("cosine", "correlation", "euclidean")

TIE = 1e-10
"""Similarities closer than this are tied: unit vectors, or the mean squared length, have size 1."""

BLOCK = 2**22
"""Similarities that are held at a time."""


@dataclass(frozen=True)
class Queries:
    """Profiles by group: each member of a group is a query for the other members.

    Attributes
    ----------
    members
        Rows of the profiles, group after group, int64 ``(queries,)``. A profile may be in several.
    start
        Where the members of each group begin, and the end, int64 ``(groups + 1,)``.
    different
        Codes of columns in which a positive must differ from its query, int64 ``(profiles, k)``.
    """

    members: np.ndarray
    start: np.ndarray
    different: np.ndarray

    @property
    def group(self) -> np.ndarray:
        """Group of each query, int64 ``(queries,)``."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))


@dataclass(frozen=True)
class Retrieval:
    """What each query found.

    Attributes
    ----------
    value
        Average precision, float64 ``(queries,)``; NaN where a query has no positive.
    n_positives, n_negatives
        What it ranked, int64 ``(queries,)``.
    """

    value: np.ndarray
    n_positives: np.ndarray
    n_negatives: np.ndarray


def comparable(x: np.ndarray, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows z and offsets h, such that ``z_i . z_j - h_j`` ranks all j by their similarity to i.

    ``-|x_i - x_j|^2 / 2`` is ``x_i . x_j - |x_j|^2 / 2`` but for what j does not change. Zero rows
    have cosine 0 with every row, and constant rows correlation 0.

    Raises
    ------
    ValueError
        If `metric` is unknown.
    """
    if metric not in METRICS:
        raise ValueError(f"`metric`={metric!r} must be one of {listed(METRICS)}.")
    x = np.ascontiguousarray(x, dtype=np.float64)  # its rows are read one by one
    if metric == "euclidean":
        x = x - x.mean(axis=0)
        x /= np.sqrt(np.einsum("ij,ij->i", x, x).mean()) or 1.0
        return x, np.einsum("ij,ij->i", x, x) / 2
    return unit_rows(centred_rows(x) if metric == "correlation" else x), np.zeros(len(x))


def average_precision(
    x: np.ndarray,
    queries: Queries,
    candidates: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    metric: str = "cosine",
    labels: sp.csr_array | None = None,
    positives_first: bool = False,
) -> Retrieval:
    """Average precision of every query.

    ``AP = mean over positives of (positives up to its rank) / rank``, in the ranking of the query's
    positives and negatives by similarity, the most similar first. Where similarities tie, the mean
    over all orders of the tied, so that profiles that are all alike score as random ones do.

    Parameters
    ----------
    x
        Profiles, float ``(profiles, d)``.
    queries
        Groups of profiles that are each other's positives.
    candidates
        Pairs of query numbers and rows of `x` that may be their negatives; each query once.
    metric
        ``"cosine"``, ``"correlation"`` or ``"euclidean"``.
    labels
        Labels of each profile, bool ``(profiles, labels)``: those that share one with the query are
        no negatives. Without labels all candidates are.
    positives_first
        Ties in favour of the positives, as copairs sorts them.

    Returns
    -------
    Values and numbers of positives and negatives by query. Similarities are held in blocks of
    queries, 32 MiB at a time.

    Raises
    ------
    ValueError
        If `metric` is unknown.
    """
    from pertscope.ev import _average_precision_kernels as kernels

    z, offset = comparable(x, metric)
    first, last = queries.start[queries.group], queries.start[queries.group + 1]
    found = np.zeros((3, len(queries.members)))
    for parts in _blocks(candidates):
        here = np.concatenate([asked for asked, _ in parts])
        lengths = np.repeat([len(columns) for _, columns in parts], [len(a) for a, _ in parts])
        begin = np.append(0, np.cumsum(lengths))
        similarity = np.empty(begin[-1])
        is_negative = np.empty(0 if labels is None else begin[-1], bool)
        end = 0
        for asked, columns in parts:
            rows, shape = queries.members[asked], (len(asked), len(columns))
            start, end = end, end + shape[0] * shape[1]
            np.matmul(z[rows], z[columns].T, out=similarity[start:end].reshape(shape))
            similarity[start:end].reshape(shape)[:] -= offset[columns]
            if labels is not None:
                shared = (labels[rows] @ labels[columns].T).toarray()
                is_negative[start:end] = shared.ravel() == 0
        found[:, here] = kernels.average_precisions(
            z,
            offset,
            queries.members[here],
            first[here],
            last[here],
            queries.members,
            queries.different,
            similarity,
            is_negative,
            begin,
            TIE,
            positives_first,
        )
    return Retrieval(found[0], found[1].astype(np.int64), found[2].astype(np.int64))


def _blocks(
    candidates: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """Queries with their candidates, about `BLOCK` pairs at a time."""
    block: list[tuple[np.ndarray, np.ndarray]] = []
    size = 0
    for asked, columns in candidates:
        step = max(1, BLOCK // max(1, len(columns)))
        for begin in range(0, len(asked), step):
            part = asked[begin : begin + step]
            if block and size + len(part) * len(columns) > BLOCK:
                yield block
                block, size = [], 0
            block.append((part, columns))
            size += len(part) * len(columns)
    if block:
        yield block


def expected_average_precision(n_positives: np.ndarray, n_negatives: np.ndarray) -> np.ndarray:
    """Mean average precision of random rankings, float64.

    ``(H_L + (m - 1) (L - H_L) / (L - 1)) / L`` with L the number of positives and negatives, m that
    of positives, and H_L the L-th harmonic number; 1 where there is nothing but positives.
    """
    from scipy.special import digamma

    m = np.asarray(n_positives, dtype=np.float64)
    total = np.maximum(m + n_negatives, 2)
    harmonic = digamma(total + 1) + np.euler_gamma
    mean = (harmonic + (m - 1) * (total - harmonic) / (total - 1)) / total
    return np.where(np.asarray(n_negatives) == 0, 1.0, mean)


def group_means(queries: Queries, values: np.ndarray) -> np.ndarray:
    """Mean value of the queries of each group that have one, float64 ``(groups,)``."""
    counted = np.isfinite(values)
    n = np.bincount(queries.group[counted], minlength=len(queries.start) - 1)
    total = np.bincount(queries.group[counted], values[counted], len(queries.start) - 1)
    return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
