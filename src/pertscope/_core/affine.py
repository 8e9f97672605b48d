"""Affine maps of representations, fitted on controls: centred, scaled, whitened.

Every fit takes controls ``(n, d)`` and gives an :class:`Affine`, which applies to any rows of d
dimensions: those it was fitted beside, or new ones. All arithmetic is in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCK_ROWS = 65536
"""Rows that are mapped at once."""

SPHERING = ("ZCA", "PCA", "ZCA-cor", "PCA-cor")
EPSILON_ON = ("singular_values", "eigenvalues")
TVN_RIDGE = 0.5
"""What EFAAR adds to the diagonal of each batch's covariance."""


@dataclass(frozen=True)
class Affine:
    """The map ``x -> (x - shift) / scale @ matrix``.

    Attributes
    ----------
    shift
        float64 ``(d,)``.
    scale
        float64 ``(d,)``, or 1.
    matrix
        float64 ``(d, k)``, or ``None`` for no rotation.
    """

    shift: np.ndarray
    scale: np.ndarray | float = 1.0
    matrix: np.ndarray | None = None

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Map rows ``(n, d)`` to float64 ``(n, k)``."""
        moved = (x - self.shift) / self.scale
        return moved if self.matrix is None else moved @ self.matrix


@dataclass(frozen=True)
class Controls:
    """Controls to fit on, and the batches that get a map.

    Attributes
    ----------
    x
        float32 or float64 ``(n, d)``.
    batch
        Batch of each, int64 ``(n,)``.
    names
        Label of each batch.
    lacking
        Batches with too few controls, which are fitted on those of all batches.
    """

    x: np.ndarray
    batch: np.ndarray
    names: Sequence[str]
    lacking: frozenset[int] = frozenset()

    @property
    def fitted_on(self) -> list[np.ndarray]:
        """Rows that each batch is fitted on."""
        everything = np.arange(len(self.x))
        return [
            everything if code in self.lacking else np.flatnonzero(self.batch == code)
            for code in range(len(self.names))
        ]

    def each(self, fit: Callable[[np.ndarray], Affine]) -> list[Affine]:
        """One map per batch, each fitted by itself; an error names its batch."""
        maps = []
        for name, rows in zip(self.names, self.fitted_on, strict=True):
            try:
                maps.append(fit(self.x[rows]))
            except ValueError as error:
                raise ValueError(f"batch {name!r}: {error}") from error
        return maps


def apply_by_batch(x: np.ndarray, batch: np.ndarray, maps: Sequence[Affine]) -> np.ndarray:
    """Map each row by the map of its batch.

    Parameters
    ----------
    x
        Rows, float32 or float64 ``(n, d)``; the result has the same type.
    batch
        Batch of each row, int64 ``(n,)``.
    maps
        One map per batch, all to the same number of dimensions.
    """
    matrix = maps[0].matrix
    result = np.empty((len(x), x.shape[1] if matrix is None else matrix.shape[1]), x.dtype)
    for code, fitted in enumerate(maps):
        rows = np.flatnonzero(batch == code)
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            result[block] = fitted.apply(x[block].astype(np.float64))
    return result


def fit_center(controls: np.ndarray) -> Affine:
    """Minus the mean of the controls."""
    return Affine(_mean(controls)[0])


def fit_center_scale(controls: np.ndarray) -> Affine:
    """Minus the mean of the controls, divided by their standard deviation (ddof 0).

    A dimension in which all controls are equal is divided by 1.
    """
    mean, constant = _mean(controls)
    spread = controls.std(axis=0, dtype=np.float64)
    return Affine(mean, np.where(constant, 1.0, spread))


def fit_mad(controls: np.ndarray, epsilon: float) -> Affine:
    """Minus the median of the controls, divided by 1.4826 times their MAD, plus `epsilon`."""
    controls = controls.astype(np.float64)
    median = np.median(controls, axis=0)
    mad = np.median(np.abs(controls - median), axis=0)
    return Affine(median, 1.4826 * mad + epsilon)


def fit_sphere(controls: np.ndarray, method: str, epsilon: float, epsilon_on: str) -> Affine:
    """Whiten, so that the controls have covariance I.

    With ``U S V'`` the SVD of the n centred (``-cor``: also scaled) controls, r their rank and
    ``lambda = S^2 / (n - 1)``, ``W = V diag(w)`` for PCA and ``W = V diag(w) V'`` for ZCA, where w
    is ``sqrt(n - 1) / (S + epsilon)`` or ``1 / sqrt(lambda + epsilon)``. Directions in which the
    controls do not vary have no place in PCA's W; in ZCA's they are weighed like the r-th, or by
    ``1 / sqrt(epsilon)``.
    """
    first = fit_center_scale(controls) if method.endswith("-cor") else fit_center(controls)
    n, d = controls.shape
    size, axes = principal_axes(first.apply(controls))
    if epsilon_on == "eigenvalues":
        weight = 1 / np.sqrt(size**2 / (n - 1) + epsilon)
        outside = 1 / np.sqrt(epsilon) if epsilon > 0 else 0.0
    else:
        weight = np.sqrt(n - 1) / (size + epsilon)
        outside = weight[-1]
    if method.startswith("PCA"):
        matrix = axes.T * weight
    else:
        outside = outside if len(size) < d else 0.0
        matrix = (axes.T * (weight - outside)) @ axes + outside * np.eye(d)
    return Affine(first.shift, first.scale, matrix)


def fit_tvn(controls: Controls, *, align: bool) -> list[Affine]:
    """Typical variation normalisation as EFAAR computes it, one map per batch.

    z-score on all controls, rotate to their r principal axes, z-score again, and where `align`,
    multiply by ``(cov of the batch's controls + 0.5 I)^(-1/2)``.
    """
    first = fit_center_scale(controls.x)
    scaled = first.apply(controls.x)
    axes = principal_axes(scaled)[1]
    projected = scaled @ axes.T
    spread = projected.std(axis=0)
    matrix, projected = axes.T / spread, projected / spread
    if not align:
        return [Affine(first.shift, first.scale, matrix)] * len(controls.names)
    ridge = TVN_RIDGE * np.eye(len(axes))
    return [
        Affine(first.shift, first.scale, matrix @ _inverse_root(_covariance(projected[r]) + ridge))
        for r in controls.fitted_on
    ]


def fit_tvn_zca(controls: Controls) -> list[Affine]:
    """Typical variation normalisation as its text form defines it, one map per batch.

    Minus the mean and divided by the standard deviation of the batch's controls, then times
    ``W D^(-1/2) W'``: W and D are the eigenvectors and positive eigenvalues of the covariance of
    all controls after the first step.
    """
    first = controls.each(fit_center_scale)
    scaled = apply_by_batch(controls.x.astype(np.float64), controls.batch, first)
    size, axes = principal_axes(scaled - scaled.mean(axis=0))
    matrix = (axes.T * (np.sqrt(len(scaled) - 1) / size)) @ axes
    return [Affine(m.shift, m.scale, matrix) for m in first]


def principal_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positive singular values ``(r,)`` of centred rows, and their right vectors ``(r, d)``.

    The largest entry of a vector is positive. Few rows cost a thin SVD, many a QR before it.

    Raises
    ------
    ValueError
        If the rows are all the same.
    """
    n, d = centred.shape
    reduced = np.linalg.qr(centred, mode="r") if n > d else centred
    _, size, axes = np.linalg.svd(reduced, full_matrices=False)
    rank = int((size > size[0] * max(n, d) * np.finfo(np.float64).eps).sum())
    rank = min(rank, n - 1)  # a further one of n centred rows is rounding alone
    if rank == 0:
        raise ValueError(f"the {n} control(s) are all the same: they have no axes of variation.")
    size, axes = size[:rank], axes[:rank]
    largest = axes[np.arange(rank), np.abs(axes).argmax(axis=1)]
    return size, axes * np.sign(largest)[:, None]


def _mean(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means, exact where all rows are equal, float64 ``(d,)``; and where they are, bool ``(d,)``.

    What the mean of equal values is off by would otherwise pass for variation.
    """
    constant = x.max(axis=0) == x.min(axis=0)
    return np.where(constant, x[0], x.mean(axis=0, dtype=np.float64)), constant


def _covariance(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=0)
    return centred.T @ centred / (len(x) - 1)


def _inverse_root(symmetric: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors / np.sqrt(values)) @ vectors.T
