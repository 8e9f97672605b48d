"""The base of networks that learn effects from embeddings of perturbations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pertscope._core.conditions import screen_conditions
from pertscope._core.perturbation_embedding import read_embedding
from pertscope.models.effect_network import EffectNetwork
from pertscope.models.response._embedding_features import (
    Sources,
    join_embeddings,
    say_what_is_missing,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions
    from pertscope.models.part_effects import PartEffects


class EmbeddingNetwork(EffectNetwork):
    """A network of effects that sees the vectors of perturbations, each embedding standardised.

    Parameters
    ----------
    adata
        Registered, split screen.
    perturbation_embedding
        Name of an embedding, or several; ``None`` for one-hot perturbations, which must be seen.
    **settings
        As JSON holds them.
    """

    def __init__(
        self,
        adata: AnnData,
        *,
        perturbation_embedding: str | Sequence[str] | None,
        seed: int,
        **settings: Any,
    ) -> None:
        chosen = perturbation_embedding
        if chosen is not None and not isinstance(chosen, str):
            chosen = list(chosen)
            if not chosen or len(set(chosen)) < len(chosen):
                raise ValueError(
                    f"`perturbation_embedding`={chosen} must name embeddings, each once."
                )
        super().__init__(adata, perturbation_embedding=chosen, seed=seed, **settings)
        self._widths: tuple[int, ...] = (len(self.vocabulary.perturbations),)
        if chosen is None:
            return
        found = [
            read_embedding(adata, n) for n in ([chosen] if isinstance(chosen, str) else chosen)
        ]
        parts = screen_conditions(adata, self.screen).components
        joined = join_embeddings(found, {p for condition in parts for p in condition})
        self.vocabulary = replace(self.vocabulary, embedding=joined)
        self._widths = tuple(e.vectors.shape[1] for e in found)

    @property
    def widths(self) -> tuple[int, ...]:
        """Dimensions of each embedding."""
        if "widths" in self._fixed:
            return tuple(int(w) for w in self._fixed["widths"])
        return self._widths

    def _sources(self, conditions: Conditions) -> Sources:
        vectors = self.vocabulary.encode_perturbations(conditions)
        return Sources(vectors.astype(np.float64), self.widths)

    def _known(self, conditions: Conditions) -> np.ndarray:
        return self._sources(conditions).known

    def _require_known(self, found: PartEffects, known: np.ndarray, held_out: Conditions) -> None:
        if self.vocabulary.embedding is None:
            return
        say_what_is_missing(
            str(self.settings["perturbation_embedding"]),
            training=(found.conditions.index, known),
            held_out=(held_out.index, self._known(held_out)),
        )

    def _scales(self, train: Conditions) -> dict[str, np.ndarray]:
        """Widths of the embeddings, and their means and standard deviations over conditions."""
        sources = self._sources(train)
        center = np.zeros(sources.vectors.shape[1])
        scale = np.ones_like(center)
        if self.vocabulary.embedding is not None:
            for block in sources.blocks:
                x = sources.vectors[:, block]
                x = x[~np.isnan(x).any(axis=1)]
                if len(x):
                    center[block], deviation = x.mean(axis=0), x.std(axis=0)
                    varies = np.ptp(x, axis=0) > 0
                    scale[block] = np.where(varies, deviation, np.inf)
        return {"widths": np.array(self.widths), "center": center, "scale": scale}

    def _scaled(self, conditions: Conditions) -> tuple[torch.Tensor, torch.Tensor]:
        """Standardised vectors ``(conditions, dimensions)``, 0 where an embedding has none.

        And whether each embedding has one, bool ``(conditions, embeddings)``.
        """
        sources = self._sources(conditions)
        scaled = (sources.vectors - self._fixed["center"]) / self._fixed["scale"]
        there = np.column_stack([~np.isnan(scaled[:, b]).any(axis=1) for b in sources.blocks])
        x = np.nan_to_num(scaled).astype(np.float32)
        return torch.from_numpy(x), torch.from_numpy(there)
