"""Which genes of an encoder a condition hits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.messages import listed
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


def refuse_other_labels(train: Conditions, held_out: Conditions, vocabulary: Vocabulary) -> None:
    """Refuse to hold out under one label a gene that is trained on under another.

    Raises
    ------
    ValueError
        If two labels stand for one gene, of which training knows one alone.
    """
    trained = sorted({p for parts in train.components for p in parts})
    others = sorted({p for parts in held_out.components for p in parts} - set(trained))
    label_at = dict(zip(_place_of_each(trained, vocabulary), trained, strict=True))
    found = zip(others, _place_of_each(others, vocabulary), strict=True)
    same = [f"{p} = {label_at[place]}" for p, place in found if place in label_at]
    if same:
        raise ValueError(
            f"{len(same)} held-out perturbation(s) hit the gene of a training one: {listed(same)}. "
            "Give each gene one label, and split again."
        )


def genes_hit(conditions: Conditions, vocabulary: Vocabulary) -> np.ndarray:
    """Places of the genes that conditions hit, -1 for none, int64 ``(conditions, most)``."""
    places = _places(vocabulary)
    most = max((len(parts) for parts in conditions.components), default=1)
    hit = np.full((len(conditions), most), -1)
    for row, parts in zip(hit, conditions.components, strict=True):
        row[: len(parts)] = places.vectors[[places.place[p] for p in parts], 0]
    return hit


def _place_of_each(names: Sequence[str], vocabulary: Vocabulary) -> list[float]:
    """Place of the gene of each perturbation; NaN, which equals nothing, where it has none."""
    found: list[float] = _places(vocabulary).of([(name,) for name in names])[:, 0].tolist()
    return found


def _places(vocabulary: Vocabulary) -> PerturbationEmbedding:
    if vocabulary.embedding is None:
        raise ValueError("the model lost the places of its genes: make it again.")
    return vocabulary.embedding
