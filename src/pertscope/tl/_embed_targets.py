"""Compounds by the genes that they are known to hit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pertscope.tl._embedding_table import embedding_table, tell_left_out

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd


def embed_targets(targets: Mapping[str, Collection[str] | Mapping[str, float]]) -> pd.DataFrame:
    """Describe compounds by their targets: one column per gene that any of them hits.

    ``z[k, g]`` is 1 where compound k hits gene g, or the weight given to it, and 0 elsewhere.

    Parameters
    ----------
    targets
        Compound -> its targets, or -> their weights by target (confidences, say), above zero.

    Returns
    -------
    float32 ``(compounds, targets)``, targets sorted, for
    :func:`pertscope.pp.add_perturbation_embedding`. A compound without targets gets no row, and a
    warning names it.

    Raises
    ------
    TypeError
        If the targets of a compound are one string.
    ValueError
        If no compound has a target, a target is named twice or not at all, or a weight is not above
        zero.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), section 4.6.

    Examples
    --------
    >>> import pertscope as ps
    >>> ps.tl.embed_targets({"dabrafenib": {"BRAF": 1.0, "RAF1": 0.5}, "trametinib": ["MAP2K1"]})
                BRAF  MAP2K1  RAF1
    dabrafenib   1.0     0.0   0.5
    trametinib   0.0     1.0   0.0
    """
    weights = {str(name): _weights(str(name), of) for name, of in targets.items()}
    if len(weights) < len(targets):
        raise ValueError("compounds must have different names.")
    known = [name for name, of in weights.items() if of]
    if not known:
        raise ValueError("no compound has a target.")
    tell_left_out((n for n, of in weights.items() if not of), "they have no targets")
    columns = sorted({g for of in weights.values() for g in of})
    place = {gene: j for j, gene in enumerate(columns)}
    vectors = np.zeros((len(known), len(columns)), np.float32)
    for i, name in enumerate(known):
        for gene, weight in weights[name].items():
            vectors[i, place[gene]] = weight
    return embedding_table(known, vectors, columns)


def _weights(name: str, targets: Collection[str] | Mapping[str, float]) -> dict[str, float]:
    """Weight of each target of a compound."""
    if isinstance(targets, str):
        raise TypeError(
            f"the targets of {name!r} must be a list of genes, not the string {targets!r}."
        )
    listing = dict(targets) if isinstance(targets, Mapping) else dict.fromkeys(targets, 1.0)
    if len(listing) < len(targets):
        raise ValueError(f"a target of {name!r} is named twice: {list(targets)}.")
    bad = [g for g, w in listing.items() if not isinstance(g, str) or not g or not 0 < w < np.inf]
    if bad:
        raise ValueError(
            f"targets of {name!r} must be names of genes, with weights above zero: {bad} are not."
        )
    return listing
