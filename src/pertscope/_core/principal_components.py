"""Principal components of a centred matrix of any kind: exact, or by random directions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pertscope._core.centred_matrix import CentredMatrix

METHODS = ("auto", "exact", "randomized")

EXACT_GENES = 1000
"""Up to so many genes, ``"auto"`` is exact."""

WIDTH = 32
"""Directions that a pass over the cells multiplies at once."""
SETTLED = 1e-4
"""A component has settled when its residual is no more than this share of its variance."""
MAX_PASSES = 100
NOTHING = 1e-8
"""What is left of a random direction within the space is no more than this."""
SAME_SIZE = 1e-6
"""Loadings that differ by less are equally large where the sign is chosen."""


@dataclass(frozen=True)
class PrincipalComponents:
    """Axes along which cells vary most.

    Attributes
    ----------
    loadings
        Unit vectors, float64 ``(genes, components)``; the largest entry of each is positive.
    variance
        Variance along each (divided by the number of cells minus 1), float64 ``(components,)``.
    method
        ``"exact"`` or ``"randomized"``.
    n_passes
        Products with the matrix that were computed.
    """

    loadings: np.ndarray
    variance: np.ndarray
    method: str
    n_passes: int


def principal_components(
    matrix: CentredMatrix, n_comps: int, *, method: str = "auto", seed: int = 0
) -> PrincipalComponents:
    """Leading eigenvectors of the covariance ``C = c' c / (cells - 1)``.

    Parameters
    ----------
    matrix
        Cells x genes, centred.
    n_comps
        Components; there are fewer where the cells vary along fewer axes.
    method
        ``"exact"`` forms C and decomposes it. ``"randomized"`` multiplies C with random directions
        and again with the products, until the components no longer change. ``"auto"`` is exact up
        to `EXACT_GENES` genes, unless the matrix is cut by genes.
    seed
        Seed of the random directions.

    References
    ----------
    Halko, Martinsson, Shkolnisky and Tygert, SIAM Journal on Scientific Computing 33 (2011).
    """
    from threadpoolctl import threadpool_limits

    if method == "auto":
        few = matrix.shape[1] <= EXACT_GENES and not matrix.is_cut_by_genes
        method = "exact" if few else "randomized"
    with threadpool_limits(1):  # decompositions by several threads differ in their last digits
        if method == "exact":
            variance, loadings, n_passes = *_exact(matrix, n_comps), 1
        else:
            variance, loadings, n_passes = _randomized(matrix, n_comps, seed)
    varies = variance > _noise(variance, matrix, method)
    loadings, variance = loadings[:, varies], variance[varies]
    return PrincipalComponents(_signed(loadings), variance, method, n_passes)


def _exact(matrix: CentredMatrix, n_comps: int) -> tuple[np.ndarray, np.ndarray]:
    return _leading(matrix.gram() / (matrix.shape[0] - 1), n_comps)


def _randomized(
    matrix: CentredMatrix, n_comps: int, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """The best components in a space of random directions and their powers (block Lanczos).

    ``basis`` holds an orthonormal basis of the space and ``image`` C times it, so that what a
    component lacks, ``C v - variance v``, costs no pass of its own.
    """
    n_genes = matrix.shape[1]
    n_kept = 2 * n_comps + WIDTH
    rng = np.random.default_rng(seed)
    basis = new = np.linalg.qr(rng.standard_normal((n_genes, min(WIDTH, n_genes))))[0]
    image = np.empty((n_genes, 0))
    n_passes, before = 0, np.zeros(n_comps)
    while n_passes < MAX_PASSES:
        n_passes += 1
        image = np.hstack([image, matrix.gram_times(new) / (matrix.shape[0] - 1)])
        variance, weights = _leading(basis.T @ image, n_kept)
        found, image_found = basis @ weights, image @ weights
        lacking = np.linalg.norm(image_found - found * variance, axis=0)[:n_comps]
        noise = _noise(variance, matrix, "randomized")
        allowed = np.maximum(SETTLED * variance[:n_comps], noise)
        settled = lacking <= allowed
        if len(settled) == n_comps and settled.all():
            if (variance[:n_comps] - before <= allowed).all():
                break
            before = variance[:n_comps]
            new = basis[:, :0]
        else:
            new = _orthonormal(image[:, -new.shape[1] :], basis, noise)
        if new.shape[1] == 0:  # powers lead no further, but of one variance there may be more axes
            new = _orthonormal(rng.standard_normal((n_genes, WIDTH)), basis, NOTHING)
        if new.shape[1] == 0:
            break
        if basis.shape[1] > 3 * n_kept:
            basis, image = found, image_found
        basis = np.hstack([basis, new])
    else:
        warnings.warn(
            f"{n_comps - settled.sum()} of {n_comps} components have not settled after "
            f"{MAX_PASSES} passes: directions of nearly the same variance are mixed in them. Ask "
            "for fewer components.",
            UserWarning,
            stacklevel=5,
        )
    return variance[:n_comps], found[:, :n_comps], n_passes


def _leading(symmetric: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n largest eigenvalues, largest first, and their vectors in columns."""
    from scipy.linalg import eigh

    size = len(symmetric)
    within = (max(size - n, 0), size - 1)
    values, vectors = eigh((symmetric + symmetric.T) / 2, subset_by_index=within)
    return values[::-1], vectors[:, ::-1]


def _noise(variance: np.ndarray, matrix: CentredMatrix, method: str) -> float:
    """What rounding makes of a variance of zero.

    Where cells are not centred before they are multiplied, the means are rounded with them.
    """
    size = float(variance[0])
    if method == "randomized":
        size += float((matrix.mean**2).sum(axis=1).max())
    return float(10 * np.sqrt(max(matrix.shape)) * np.finfo(np.float64).eps * size)


def _orthonormal(vectors: np.ndarray, basis: np.ndarray, noise: float) -> np.ndarray:
    """Orthonormal directions of `vectors` outside `basis`, but for those that are rounding."""
    for _ in range(2):  # once leaves rounding behind
        vectors = vectors - basis @ (basis.T @ vectors)
    directions, sizes, _ = np.linalg.svd(vectors, full_matrices=False)
    directions = directions[:, sizes > noise]
    return np.linalg.qr(directions - basis @ (basis.T @ directions))[0]


def _signed(loadings: np.ndarray) -> np.ndarray:
    """Turned so that the largest loading is positive: the first one, of equally large ones."""
    size = np.abs(loadings)
    largest = (size >= (1 - SAME_SIZE) * size.max(axis=0, initial=0)).argmax(axis=0)
    return loadings * np.sign(loadings[largest, np.arange(loadings.shape[1])])
