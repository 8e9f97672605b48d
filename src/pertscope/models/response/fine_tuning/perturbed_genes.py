"""Which genes of an encoder a condition hits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.perturbation_embedding import PerturbationEmbedding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pertscope._core.conditions import Conditions
    from pertscope.models.encoding import Vocabulary


def gene_places(
    genes: Sequence[str], perturbations: Iterable[str], alias: Mapping[str, str]
) -> PerturbationEmbedding:
    """Place of each perturbation's gene among the encoder's, NaN where it has none.

    Kept as a vector of one number, so that a model knows whatever has a row there.

    Parameters
    ----------
    genes
        Of the encoder; each is a perturbation that can be predicted.
    perturbations
        Further perturbations.
    alias
        Perturbation -> its gene, where that is another name.
    """
    place = {gene: i for i, gene in enumerate(genes)}
    names = tuple(sorted({*genes, *alias, *perturbations}))
    found = [place.get(alias.get(name, name), np.nan) for name in names]
    return PerturbationEmbedding(names, np.array(found, np.float32)[:, None])


def is_placed(conditions: Conditions, vocabulary: Vocabulary) -> np.ndarray:
    """Whether the encoder has all genes that a condition hits, bool ``(conditions,)``."""
    return np.isfinite(_places(vocabulary).of(conditions.components)[:, 0])


def genes_hit(conditions: Conditions, vocabulary: Vocabulary) -> np.ndarray:
    """Places of the genes that conditions hit, -1 for none, int64 ``(conditions, most)``."""
    places = _places(vocabulary)
    most = max((len(parts) for parts in conditions.components), default=1)
    hit = np.full((len(conditions), most), -1)
    for row, parts in zip(hit, conditions.components, strict=True):
        row[: len(parts)] = places.vectors[[places.place[p] for p in parts], 0]
    return hit


def _places(vocabulary: Vocabulary) -> PerturbationEmbedding:
    if vocabulary.embedding is None:
        raise ValueError("the model lost the places of its genes: make it again.")
    return vocabulary.embedding
