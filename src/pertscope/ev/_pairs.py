"""Sums over all pairs of cells, a tile of squared distances at a time.

``|a - b|^2 = |a|^2 + |b|^2 - 2 a.b``, so a tile of them is one matrix product. Cells that are dense
are moved to a common centre first, which changes no distance and spares digits. Cells that are
sparse stay so, but for a block of genes of one tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    PairFunction = Callable[[np.ndarray], np.ndarray]
    """From squared distances to what is summed, element by element; may overwrite its argument."""

TILE = 512
"""Cells per side of a tile: 2 MiB of float64, which caches hold."""


def population(x: Any, name: str) -> Any:
    """Return `x` as CSR or float64 array ``(cells, genes)``, or say why it is no population."""
    x = x.tocsr() if sp.issparse(x) else np.asarray(x, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"`{name}` must be cells x genes, but has {x.ndim} dimension(s).")
    if x.shape[0] == 0:
        raise ValueError(f"`{name}` holds no cells.")
    if sp.issparse(x) and not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()  # a place that is stored twice holds the sum
    if not np.isfinite(x.data if sp.issparse(x) else x).all():
        raise ValueError(f"`{name}` holds NaN or infinite values: remove or impute them first.")
    return x


def populations(x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> tuple[Any, Any]:
    """Two populations of the same genes."""
    x, y = population(x, names[0]), population(y, names[1])
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"`{names[0]}` has {x.shape[1]} columns, `{names[1]}` has {y.shape[1]}: "
            "both must be of the same genes or components."
        )
    return x, y


def centre_of(*cells: Any) -> np.ndarray | None:
    """Mean of the last population, or None where one is sparse and must not be moved."""
    return None if any(sp.issparse(c) for c in cells) else cells[-1].mean(axis=0)


def _tiles(x: Any) -> Iterator[Any]:
    if x.shape[0] <= TILE:
        yield x  # a slice would be a copy
        return
    for start in range(0, x.shape[0], TILE):
        yield x[start : start + TILE]


def left_tiles(x: Any, centre: np.ndarray | None) -> Iterator[Any]:
    """Cells a, `TILE` at a time: rows ``(-2a, |a|^2, 1)`` around the centre, or as they are."""
    for block in _tiles(x):
        if centre is None:
            yield block
        else:
            a, square = _around(block, centre)
            yield np.hstack([-2 * a, square, np.ones_like(square)])


def right_tiles(y: Any, centre: np.ndarray | None) -> list[Any]:
    """Cells b, `TILE` at a time: columns ``(b, 1, |b|^2)`` around the centre, or CSR."""
    tiles: list[Any] = []
    for block in _tiles(y):
        if centre is None:
            tiles.append(_as_csr(block))
        else:
            b, square = _around(block, centre)
            tiles.append(np.hstack([b, np.ones_like(square), square]).T)
    return tiles


def _around(block: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    moved = block - centre
    return moved, np.einsum("ij,ij->i", moved, moved)[:, None]


def _squared_distances(left: Any, right: Any, *, own: bool = False) -> np.ndarray:
    if isinstance(right, np.ndarray):
        tile = left @ right
        return np.maximum(tile, 0, out=tile)
    from pertscope.ev import _pair_kernels as kernels

    a, b = _as_csr(left), right
    tile = np.empty((a.shape[0], b.shape[0]))

    def fill(dtype: type) -> bool:
        sides = [(x.data.astype(dtype, copy=False), x.indices, x.indptr) for x in (a, b)]
        return kernels.squared_distances(*sides[0], *sides[1], a.shape[1], own, tile)

    if not (a.dtype == b.dtype == np.float32) or fill(np.float32):
        fill(np.float64)
    return tile


def _as_csr(cells: Any) -> Any:
    return cells if sp.issparse(cells) else sp.csr_matrix(cells)


def sum_over_pairs(x: Any, right: list[Any], centre: np.ndarray | None, f: PairFunction) -> float:
    """Sum of ``f(|a - b|^2)`` over cells a of `x` and b of :func:`right_tiles`."""
    total = 0.0
    for left in left_tiles(x, centre):
        for tile in right:
            total += float(f(_squared_distances(left, tile)).sum())
    return total


def sum_over_own_pairs(x: Any, f: PairFunction) -> float:
    """Sum of ``f(|a - b|^2)`` over cells a and b of `x`; a cell is at 0 from itself."""
    centre = centre_of(x)
    right = right_tiles(x, centre)
    total = 0.0
    for i, left in enumerate(left_tiles(x, centre)):
        for j in range(i, len(right)):
            tile = _squared_distances(left, right[j], own=i == j)
            if i == j:
                np.fill_diagonal(tile, 0)
            total += float(f(tile).sum()) * (1 if i == j else 2)
    return total


def all_pairs(x: Any, y: Any) -> np.ndarray:
    """Squared distances of all pairs of few cells, float64 ``(n, m)``."""
    centre = centre_of(x, y)
    right = right_tiles(y, centre)
    return np.block([[_squared_distances(a, b) for b in right] for a in left_tiles(x, centre)])
