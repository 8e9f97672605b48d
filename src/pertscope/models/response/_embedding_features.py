"""Features of perturbations: their vectors, standardised and projected on principal components."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.messages import listed
from pertscope._core.perturbation_embedding import PerturbationEmbedding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

N_LEAST = 2
"""Vectors that it takes to say along what they vary."""


@dataclass(frozen=True)
class Sources:
    """Vectors of conditions from several embeddings, side by side.

    Attributes
    ----------
    vectors
        float64 ``(conditions, dimensions)``; NaN where an embedding has no vector.
    widths
        Dimensions of each embedding.
    as_is
        Whether the vectors are features already, and are neither standardised nor projected.
    """

    vectors: np.ndarray
    widths: tuple[int, ...]
    as_is: bool = False

    @property
    def blocks(self) -> list[slice]:
        """Columns of each embedding."""
        edges = np.cumsum([0, *self.widths])
        return [slice(int(a), int(b)) for a, b in pairwise(edges)]

    @property
    def known(self) -> np.ndarray:
        """Whether a condition has a vector in any of the embeddings, bool ``(conditions,)``."""
        there = [~np.isnan(self.vectors[:, b]).any(axis=1) for b in self.blocks]
        return np.any(there, axis=0)

    def each(self) -> list[Sources]:
        """The embeddings one by one."""
        parts = zip(self.blocks, self.widths, strict=True)
        return [Sources(self.vectors[:, block], (width,)) for block, width in parts]

    def take(self, rows: np.ndarray) -> Sources:
        """Some of the conditions."""
        return replace(self, vectors=self.vectors[rows])


def join_embeddings(
    embeddings: Sequence[PerturbationEmbedding], also: Iterable[str]
) -> PerturbationEmbedding:
    """Embeddings side by side, NaN where one has no vector; `also` names those without any.

    Raises
    ------
    ValueError
        If they combine perturbations in different ways.
    """
    combine = sorted({e.combine for e in embeddings})
    if len(combine) > 1:
        raise ValueError(
            f"the embeddings combine perturbations by {combine}: add them with the same `combine`."
        )
    names = sorted({n for e in embeddings for n in e.names} | set(also))
    vectors = np.full((len(names), sum(e.vectors.shape[1] for e in embeddings)), np.nan, np.float32)
    first = 0
    for e in embeddings:
        rows = [i for i, name in enumerate(names) if name in e.place]
        columns = slice(first, first + e.vectors.shape[1])
        vectors[rows, columns] = e.vectors[[e.place[names[i]] for i in rows]]
        first = columns.stop
    return PerturbationEmbedding(tuple(names), vectors, combine[0])


def say_what_is_missing(name: str, **parts: tuple[pd.Index, np.ndarray]) -> None:
    """Count the conditions without a vector in each part: names, and whether they have one, bool.

    Raises
    ------
    ValueError
        If all conditions of a part have none.
    """
    told = []
    for part, (names, known) in parts.items():
        which, what = names[~known], part.replace("_", "-")
        if len(which) == len(names) > 0:
            raise ValueError(
                f"none of the {len(names)} {what} condition(s) has a vector in {name!r}: "
                f"{listed(which)}."
            )
        if len(which):
            told.append(f"{len(which)} of {len(names)} {what} condition(s), {listed(which)}")
    if told:
        warnings.warn(
            f"no vector in {name!r} for {'; for '.join(told)}. They are left out in training and "
            "predicted by the mean training effect.",
            UserWarning,
            stacklevel=4,
        )


def fit_features(sources: Sources, n_components: int) -> dict[str, np.ndarray]:
    """Learn to turn vectors into features, each embedding by itself.

    Columns are standardised (those that do not vary stay out) and projected on at most
    `n_components` principal components; where an embedding has no vector its features are 0, its
    mean.

    Returns
    -------
    ``"center"`` ``(dimensions,)`` and ``"axes"`` ``(dimensions, features)``, float64.
    """
    center = np.zeros(sources.vectors.shape[1])
    parts = []
    for block in sources.blocks:
        x = sources.vectors[:, block]
        x = x[~np.isnan(x).any(axis=1)]
        axes = np.zeros((len(center), 0))
        if len(x) >= N_LEAST:
            center[block] = x.mean(axis=0)
            found = _components(x, n_components)
            axes = np.zeros((len(center), found.shape[1]))
            axes[block] = found
        parts.append(axes)
    return {"center": center, "axes": np.hstack(parts)}


def features_of(arrays: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
    """Features of vectors, float64 ``(conditions, features)``: they themselves without axes."""
    if "axes" not in arrays:
        return np.ascontiguousarray(np.where(np.isnan(vectors), 0.0, vectors))
    centred = vectors - arrays["center"]
    centred[np.isnan(centred)] = 0.0
    return np.ascontiguousarray(centred @ arrays["axes"])


def _components(x: np.ndarray, n_components: int) -> np.ndarray:
    """Axes of the standardised x ``(n, d)``, times 1 / standard deviation, ``(d, components)``."""
    from scipy.linalg import eigh

    varies = np.ptp(x, axis=0) > 0
    inverse = np.zeros(x.shape[1])
    inverse[varies] = 1 / x[:, varies].std(axis=0)
    scaled = (x - x.mean(axis=0)) * inverse
    n, d = scaled.shape
    small = scaled.T @ scaled if d <= n else scaled @ scaled.T
    within = (max(len(small) - n_components, 0), len(small) - 1)
    variance, axes = eigh(small, subset_by_index=within)
    variance, axes = variance[::-1], axes[:, ::-1]
    kept = variance > max(n, d) * np.finfo(np.float64).eps * max(variance[0], 1.0)
    axes = axes[:, kept]
    if d > n:
        axes = scaled.T @ (axes / np.sqrt(variance[kept]))
    return axes * inverse[:, None]
