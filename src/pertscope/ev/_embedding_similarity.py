"""Which embeddings know the same of perturbations."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import PERTURBATION_EMBEDDINGS, UNS, check_key
from pertscope._core.perturbation_embedding import read_embedding
from pertscope._core.screen import Screen, require_actual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

FEWEST, N_PERMUTATIONS = 5, 20
NO_VARIANCE = 1e-6
"""Directions with a smaller share of the largest standard deviation are rounding errors."""


def embedding_similarity(
    adata: AnnData,
    embeddings: Sequence[str] | None = None,
    *,
    n_components: int = 20,
    seed: int = 0,
    key_added: str = "embedding_similarity",
) -> None:
    """Compare embeddings of perturbations by their mean canonical correlation.

    Of the perturbations that two embeddings share, each is standardised and taken to its first
    principal components, at most `n_components` and less than half as many as perturbations, whose
    left singular vectors are U and V. Canonical correlations are the singular values of ``U' V``;
    the similarity is their mean over the smaller number of components. It is 1 if one embedding is
    a linear function of the other and both have no more dimensions than components are taken; of
    more dimensions, the first components need not be the same ones. Few perturbations and many
    components are alike by chance: ``chance`` is the mean of 20 permutations of the perturbations
    of one.

    Parameters
    ----------
    adata
        Registered screen with perturbation embeddings
        (:func:`pertscope.pp.add_perturbation_embedding`).
    embeddings
        Their names; all by default.
    n_components
        Largest number of principal components.
    seed
        Seed of the permutations.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per pair: ``first``, ``second``
    (categorical), ``similarity``, ``chance`` (float64), ``n_shared``, perturbations of the screen
    with a vector in both, and ``n_components``, correlations that were averaged (int64). Both
    values are NaN where fewer than five are shared, or one embedding is constant on them.

    Raises
    ------
    KeyError
        If the screen is not registered, or has no such embedding.
    ValueError
        If there are fewer than two embeddings, one is named twice, or `n_components` is below 1.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, figure 3. Mean CCA
    similarity of principal components: Raghu et al., SVCCA (2017), arXiv:1706.05806.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=20, n_genes=50, seed=0)
    >>> ps.pp.register(adata)
    >>> genes = sorted(set(adata.obs["perturbation"]) - {"control"})
    >>> for seed in (0, 1):
    ...     table = ps.tl.embed_random(genes, n_dims=3, seed=seed)
    ...     ps.pp.add_perturbation_embedding(adata, table, f"random{seed}")
    random0: 20 of 20 perturbations have a vector of 3 dimensions
    random1: 20 of 20 perturbations have a vector of 3 dimensions
    >>> ps.ev.embedding_similarity(adata)
    >>> adata.uns["embedding_similarity"]["n_shared"].tolist()
    [20]
    """
    check_key(key_added)
    conditions = screen_conditions(adata, Screen.of(adata))
    there = adata.uns[UNS].get(PERTURBATION_EMBEDDINGS, {})
    names = list(there) if embeddings is None else list(embeddings)
    if isinstance(embeddings, str) or len(set(names)) < max(2, len(names)):
        raise ValueError(f"`embeddings` takes two or more names, each once, not {embeddings!r}.")
    if n_components < 1:
        raise ValueError(f"`n_components`={n_components} must be at least 1.")
    perturbations = pd.Index(sorted({p for parts in conditions.components for p in parts}))
    tables = {}
    for name in names:
        embedding = read_embedding(adata, name)
        table = pd.DataFrame(embedding.vectors.astype(np.float64), index=embedding.names)
        tables[name] = table.loc[perturbations[perturbations.isin(table.index)]]
    rows = []
    known: dict[tuple[str, bytes], np.ndarray] = {}  # most pairs share the same perturbations
    for first, second in combinations(names, 2):
        shared = tables[first].index.intersection(tables[second].index, sort=True)
        sides = []
        for name in (first, second):
            key = name, tables[name].index.isin(shared).tobytes()
            if key not in known:
                known[key] = _components(tables[name].loc[shared].to_numpy(), n_components)
            sides.append(known[key])
        u, v = sides
        rows.append(
            {
                "first": first,
                "second": second,
                "similarity": mean_correlation(u, v),
                "chance": _chance(u, v, np.random.default_rng(seed)),
                "n_shared": len(shared),
                "n_components": min(u.shape[1], v.shape[1]),
            }
        )
    found = pd.DataFrame(rows)
    for column in ("first", "second"):
        found[column] = pd.Categorical(found[column], categories=names)
    found.index = found.index.astype(str)
    require_actual(adata)
    adata.uns[key_added] = found


def _components(vectors: np.ndarray, n_components: int) -> np.ndarray:
    """Orthonormal principal components, float64 ``(perturbations, components)``.

    Less than half as many as perturbations: of more, two embeddings would share some whatever they
    are.
    """
    if len(vectors) < FEWEST:
        return np.empty((len(vectors), 0))
    n = min(n_components, (len(vectors) - 1) // 2)
    centred = vectors - vectors.mean(axis=0)
    sd = centred.std(axis=0)
    varies = sd > NO_VARIANCE * np.abs(vectors).max(axis=0, initial=0)
    if not varies.any():
        return np.empty((len(vectors), 0))
    u, s, _ = np.linalg.svd(centred[:, varies] / sd[varies], full_matrices=False)
    return np.ascontiguousarray(u[:, : min(n, np.count_nonzero(s > NO_VARIANCE * s[0]))])


def mean_correlation(u: np.ndarray, v: np.ndarray) -> float:
    """Mean canonical correlation of two orthonormal bases; NaN if one is empty."""
    if not min(u.shape[1], v.shape[1]):
        return np.nan
    return float(np.linalg.svd(u.T @ v, compute_uv=False).clip(0, 1).mean())


def _chance(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> float:
    drawn = [mean_correlation(u, v[rng.permutation(len(v))]) for _ in range(N_PERMUTATIONS)]
    return float(np.mean(drawn))
