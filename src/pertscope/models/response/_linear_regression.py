"""Linear regressions of many genes at once, for several penalties."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

TOLERANCE, MAX_SWEEPS = 1e-7, 1000


def linear_path(
    features: np.ndarray,
    effects: np.ndarray,
    penalties: Sequence[float],
    l1_ratio: float,
    *,
    bilinear: bool = False,
) -> tuple[np.ndarray, int]:
    """Coefficients for each penalty, float64 ``(penalties, features + 1, genes)``, intercept last.

    With Z the centred features, a penalty a and a ratio r they minimise, for each gene y,
    ``|y - Z w|^2 / (2 n) + a r |w|_1 + a (1 - r) |w|^2 / 2``: ridge regression where r is 0, the
    lasso where it is 1, the shortest least squares where a is 0. As scikit-learn's Lasso and
    ElasticNet; its Ridge calls ``n a`` what is a here. Where r is 0, `bilinear` shrinks the genes'
    side as well: ``G (G'G + n a)^-1 G' Y' Z (Z'Z + n a)^-1``, G holding the principal components of
    the effects Y.

    Returns
    -------
    The coefficients, and how many regressions did not settle.
    """
    center, mean = features.mean(axis=0), effects.mean(axis=0, dtype=np.float64)
    z, y = features - center, effects - mean
    if l1_ratio == 0:
        found, unsettled = _ridge(z, y, penalties, bilinear=bilinear), 0
    else:
        found, unsettled = _elastic_net(z, y, penalties, l1_ratio)
    intercept = mean - center @ found
    return np.concatenate([found, intercept[:, None]], axis=1), unsettled


def fit_linear(
    features: np.ndarray,
    effects: np.ndarray,
    penalty: float,
    l1_ratio: float,
    *,
    bilinear: bool = False,
) -> np.ndarray:
    """Coefficients for one penalty, float64 ``(features + 1, genes)``.

    Warns
    -----
    UserWarning
        If regressions did not settle.
    """
    path, unsettled = linear_path(features, effects, [penalty], l1_ratio, bilinear=bilinear)
    if unsettled:
        warnings.warn(
            f"{unsettled} of {effects.shape[1]} regressions did not settle with a penalty of "
            f"{penalty:g}: offer larger `penalties`, or take fewer `n_components`.",
            UserWarning,
            stacklevel=2,
        )
    return path[0]


def linear_effects(coefficients: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Effects of features, float64 ``(conditions, genes)``."""
    return features @ coefficients[:-1] + coefficients[-1]


def linear_errors(
    features: np.ndarray,
    effects: np.ndarray,
    fold: np.ndarray,
    penalties: Sequence[float],
    *,
    l1_ratio: float,
    bilinear: bool = False,
) -> np.ndarray:
    """Mean L2 error of held-out rows for each penalty, float64 ``(penalties,)``."""
    total = np.zeros(len(penalties))
    for held_out in (fold == f for f in np.unique(fold)):
        path, _ = linear_path(
            features[~held_out], effects[~held_out], penalties, l1_ratio, bilinear=bilinear
        )
        for i, coefficients in enumerate(path):
            left = effects[held_out] - linear_effects(coefficients, features[held_out])
            total[i] += np.linalg.norm(left, axis=1).sum()
    return total / len(fold)


def _ridge(
    z: np.ndarray, y: np.ndarray, penalties: Sequence[float], *, bilinear: bool
) -> np.ndarray:
    left, size, right = np.linalg.svd(z, full_matrices=False)
    kept = size > max(z.shape) * np.finfo(np.float64).eps * size.max(initial=0)
    left, size, right = left[:, kept], size[kept], right[kept]
    shrunken = [size[:, None] / (size[:, None] ** 2 + len(z) * a) for a in penalties]
    if not bilinear:
        target = left.T @ y
        return np.stack([right.T @ (s * target) for s in shrunken])
    _, strength, genes = np.linalg.svd(y, full_matrices=False)
    target = left.T @ y @ genes.T
    strength = strength**2
    of_genes = [strength / (strength + len(z) * a) for a in penalties]
    both = zip(shrunken, of_genes, strict=True)
    return np.stack([right.T @ (s * target * g) @ genes for s, g in both])


def _elastic_net(
    z: np.ndarray, y: np.ndarray, penalties: Sequence[float], l1_ratio: float
) -> tuple[np.ndarray, int]:
    """By coordinate descent, from the largest penalty to the smallest."""
    from pertscope.models.response import _regression_kernels as kernels

    gram, target = z.T @ z / len(z), np.ascontiguousarray(y.T @ z / len(z))
    found = np.empty((len(penalties), z.shape[1], y.shape[1]))
    start, unsettled = np.zeros_like(target), 0
    for i in np.argsort(penalties)[::-1]:
        l1, l2 = penalties[i] * l1_ratio, penalties[i] * (1 - l1_ratio)
        unsettled += kernels.descend(gram, target, start, l1, l2, TOLERANCE, MAX_SWEEPS)
        found[i] = start.T
    return found, unsettled
