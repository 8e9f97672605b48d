"""Nearest neighbours: one search for every metric that needs them.

Neighbours never hold the point itself, which is known by its index: its duplicates are neighbours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from pertscope._core.distances import unit_rows
from pertscope._core.messages import listed
from pertscope._core.messages import nearest as nearest_names
from pertscope._core.neighbor_search import Search

if TYPE_CHECKING:
    from anndata import AnnData

METRICS = ("euclidean", "cosine")
METHODS = ("auto", "exact", "approximate")

EXACT_UP_TO = 300_000
"""Points up to which the exact search is the faster one: two cores, 50 dimensions, 90 neighbours.

Extrapolated from 100,000 points, LISI included: 30 s of processor time exact (two cores), 39 s by
pynndescent with scib-metrics' settings (one core, which its result needs to be reproducible)."""

REMEMBERED = 4
"""Results that are kept."""

_found: dict[tuple[object, ...], Neighbors] = {}


@dataclass(frozen=True)
class Neighbors:
    """The nearest points of each point, the nearest first; ties in the order of the points.

    Attributes
    ----------
    indices
        int64 ``(n, k)``.
    distances
        float64 ``(n, k)``.
    """

    indices: np.ndarray
    distances: np.ndarray

    @property
    def k(self) -> int:
        """Neighbours of each point."""
        return int(self.indices.shape[1])

    def first(self, k: int) -> Neighbors:
        """The k nearest of them."""
        if not 1 <= k <= self.k:
            raise ValueError(f"{k} neighbours were asked for, {self.k} are known.")
        return Neighbors(self.indices[:, :k], self.distances[:, :k])


def nearest(
    x: np.ndarray,
    k: int,
    *,
    metric: str = "euclidean",
    method: str = "auto",
    queries: np.ndarray | None = None,
    seed: int = 0,
) -> Neighbors:
    """The k nearest rows of `x` to each row of `x`, or of `queries`.

    Exact: a tile of distances at a time in float32, whose best ``k + 16`` candidates are measured
    again in float64. A row whose candidates might miss a neighbour, by the bound of float32's
    rounding, is searched again in float64 altogether. Approximate: pynndescent's candidates,
    measured in float64. Either gives the same bytes for any number of threads; results are kept by
    content, and more neighbours serve fewer.

    Parameters
    ----------
    x
        Points, ``(n, d)``.
    k
        Neighbours of each.
    metric
        ``"euclidean"``, or ``"cosine"``, i.e. one minus cosine similarity: 1 from and to a row of
        zeros.
    method
        ``"exact"``, ``"approximate"``, or ``"auto"``: exact up to 300,000 points.
    queries
        Other points, ``(m, d)``, whose neighbours in `x` are wanted; none of them counts as one of
        `x`. By default `x` itself, without the point itself.
    seed
        Seed of the approximate search.

    Returns
    -------
    Neighbors, which cannot be written to.

    Raises
    ------
    ValueError
        If an option is unknown, values are NaN or infinite, shapes do not match or there are fewer
        than k other points.
    """
    for name, value, options in (("metric", metric, METRICS), ("method", method, METHODS)):
        if value not in options:
            raise ValueError(f"`{name}`={value!r} must be one of {options}.")
    x = _points(x, "x")
    if queries is not None:
        queries = _points(queries, "queries")
        if queries.shape[1] != x.shape[1]:
            raise ValueError(f"`queries` have {queries.shape[1]} columns, `x` {x.shape[1]}.")
    others = len(x) - (queries is None)
    if not 1 <= k <= others:
        raise ValueError(f"{k} neighbours were asked for; each point has {others} others.")
    if method == "auto":
        method = "exact" if len(x) <= EXACT_UP_TO else "approximate"
    key = (_digest(x), queries is None or _digest(queries), metric, method, seed)
    known = _found.pop(key, None)
    if known is None or known.k < k:
        known = _search(x, queries, k, metric, method, seed)
    _found[key] = known  # the latest is the last
    while len(_found) > REMEMBERED:
        del _found[next(iter(_found))]
    return known.first(k)


def neighbors_in(adata: AnnData, key: str, k: int) -> Neighbors:
    """The k nearest neighbours that a graph in `adata` holds.

    `key` names distances in ``.obsp``, or an entry of ``.uns`` as ``scanpy.pp.neighbors`` writes
    it, whose ``distances_key`` names them. A stored value is a neighbour; the point itself is left
    out.

    Raises
    ------
    KeyError
        If there is no such graph.
    ValueError
        If a row holds fewer than k neighbours.
    """
    entry = adata.uns.get(key)
    name = entry["distances_key"] if isinstance(entry, dict) and "distances_key" in entry else key
    if name not in adata.obsp:
        graphs = [*adata.obsp, *(u for u in adata.uns if "neighbors" in u)]
        raise KeyError(f"`.obsp` and `.uns` have no graph {key!r}; {nearest_names(key, graphs)}.")
    graph = sp.coo_array(adata.obsp[name])
    row, column = (c.astype(np.int64) for c in graph.coords)
    order = np.lexsort((column, graph.data, row))
    order = order[row[order] != column[order]]
    per_row = np.bincount(row[order], minlength=adata.n_obs)
    short = np.flatnonzero(per_row < k)
    if len(short):
        raise ValueError(
            f"the graph {key!r} holds fewer than {k} neighbours in {len(short)} row(s), first at "
            f"{listed(adata.obs_names[short], 1)}, which has {per_row[short[0]]}: compute it with "
            f"more (`sc.pp.neighbors(adata, n_neighbors={k + 1})`), or give no graph."
        )
    chosen = order[((np.cumsum(per_row) - per_row)[:, None] + np.arange(k)).ravel()]
    shape = (adata.n_obs, k)
    return Neighbors(column[chosen].reshape(shape), graph.data[chosen].astype(float).reshape(shape))


def _points(x: np.ndarray, what: str) -> np.ndarray:
    x = np.ascontiguousarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"`{what}` has shape {x.shape}: it must be (points, dimensions).")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise ValueError(
            f"`{what}` holds NaN or infinite values in {len(bad)} row(s): {listed(bad)}."
        )
    return x


def _digest(x: np.ndarray) -> bytes:
    return hashlib.blake2b(x.data, digest_size=16, person=str(x.shape).encode()[:16]).digest()


def _search(
    x: np.ndarray, queries: np.ndarray | None, k: int, metric: str, method: str, seed: int
) -> Neighbors:
    unit = 1.0
    if metric == "cosine":
        x = unit_rows(x)
        queries = None if queries is None else unit_rows(queries)
    else:  # a power of 2 changes no digit, and squares neither overflow nor vanish
        largest = max(np.abs(a).max(initial=0) for a in (x, queries) if a is not None)
        unit = 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0
        x, queries = x / unit, None if queries is None else queries / unit
    search = Search(x, queries, metric == "cosine")
    indices, squared = search.exact(k) if method == "exact" else search.approximate(k, seed)
    distances = squared / 2 if metric == "cosine" else np.sqrt(squared) * unit
    indices.flags.writeable = distances.flags.writeable = False
    return Neighbors(indices, distances)
