"""Vectors of perturbations, kept in a screen.

The only reader and writer of ``uns["pertscope"]["perturbation_embeddings"]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.keys import PERTURBATION_EMBEDDINGS, UNS
from pertscope._core.messages import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

COMBINE = ("sum", "mean")


@dataclass(frozen=True)
class PerturbationEmbedding:
    """One vector per perturbation.

    Attributes
    ----------
    names
        Perturbations.
    vectors
        float32 ``(perturbations, dimensions)``.
    combine
        What the vectors of a combination become: their ``"sum"`` or their ``"mean"``.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    combine: str = "sum"

    @cached_property
    def place(self) -> dict[str, int]:
        """Row of each perturbation."""
        return {name: i for i, name in enumerate(self.names)}

    def of(self, components: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Vectors of what is applied together, float32 ``(conditions, dimensions)``.

        Zeros where nothing is.

        Raises
        ------
        ValueError
            If a perturbation has no vector.
        """
        unknown = sorted({p for parts in components for p in parts} - self.place.keys())
        if unknown:
            raise ValueError(
                f"{len(unknown)} perturbation(s) have no row in the embedding: {listed(unknown)}; "
                f"{nearest(unknown[0], self.names)}."
            )
        result = np.zeros((len(components), self.vectors.shape[1]), np.float32)
        for i, parts in enumerate(components):
            if parts:
                found = self.vectors[[self.place[p] for p in parts]]
                result[i] = found.sum(axis=0) if self.combine == "sum" else found.mean(axis=0)
        return result


def read_embedding(adata: AnnData, name: str) -> PerturbationEmbedding:
    """An embedding that was added to a screen."""
    if not isinstance(name, str):
        raise TypeError(f"takes the name of one perturbation embedding, not {name!r}.")
    there = adata.uns.get(UNS, {}).get(PERTURBATION_EMBEDDINGS, {})
    if name not in there:
        known = nearest(name, there) if there else "there are none"
        raise KeyError(
            f"the screen has no perturbation embedding {name!r}; {known}: add one with "
            "`ps.pp.add_perturbation_embedding`."
        )
    entry = there[name]
    table: pd.DataFrame = entry["table"]
    vectors = table.to_numpy(np.float32)
    return PerturbationEmbedding(tuple(map(str, table.index)), vectors, str(entry["combine"]))


def write_embedding(adata: AnnData, name: str, table: pd.DataFrame, combine: str) -> None:
    """Keep a table ``(perturbations, dimensions)`` in a screen."""
    kept = adata.uns.setdefault(UNS, {}).setdefault(PERTURBATION_EMBEDDINGS, {})
    kept[name] = {"table": table, "combine": combine}
