"""The base of networks that learn effects from embeddings of perturbations."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pertscope._core.conditions import screen_conditions
from pertscope._core.messages import listed
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

CENTER, SCALE, COVARIATES = "center", "scale", "covariates"
"""Names of what is fixed in training."""
VARIES = 1e-4
"""Range of a dimension, relative to its largest value, below which it says nothing."""


class EmbeddingNetwork(EffectNetwork):
    """A network of effects that sees the vectors of perturbations, each embedding standardised.

    An embedding that has vectors for no training condition says nothing, of held-out ones neither.

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
        found = [read_embedding(adata, name) for name in self._names]
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

    @property
    def _names(self) -> list[str]:
        named = self.settings["perturbation_embedding"]
        return [named] if isinstance(named, str) else list(named)

    def _sources(self, conditions: Conditions) -> Sources:
        vectors = self.vocabulary.encode_perturbations(conditions)
        return Sources(vectors.astype(np.float64), self.widths)

    def _known(self, conditions: Conditions) -> np.ndarray:
        return self._sources(conditions).known

    def _predictable(self, conditions: Conditions) -> np.ndarray:
        return _with(self._sources(conditions), ~np.isnan(self._fixed[CENTER])).known

    def _require_known(self, train: Conditions, held_out: Conditions) -> None:
        if self.vocabulary.embedding is None:
            self.vocabulary.encode_perturbations(held_out)  # refuses what was never trained on
            return
        sources = self._sources(train)
        there = ~np.isnan(sources.vectors).all(axis=0)
        blocks = zip(self._names, sources.blocks, strict=True)
        useless = [name for name, block in blocks if not there[block].any()]
        if 0 < len(useless) < len(sources.blocks):
            warnings.warn(
                f"{listed(useless)} has vectors for no training condition: it is left out.",
                UserWarning,
                stacklevel=3,
            )
        say_what_is_missing(
            str(self.settings["perturbation_embedding"]),
            training=(train.index, sources.known),
            held_out=(held_out.index, _with(self._sources(held_out), there).known),
        )

    def _scales(self, train: Conditions) -> dict[str, np.ndarray]:
        """Widths of the embeddings, and their means and standard deviations over conditions.

        NaN where an embedding has no vector for any of them, and an infinite standard deviation
        where a dimension does not vary.
        """
        sources = self._sources(train)
        center = np.zeros(sources.vectors.shape[1])
        scale = np.ones_like(center)
        if self.vocabulary.embedding is not None:
            for block in sources.blocks:
                x = sources.vectors[:, block]
                x = x[~np.isnan(x).any(axis=1)]
                if not len(x):
                    center[block] = np.nan
                    continue
                center[block], deviation = x.mean(axis=0), x.std(axis=0)
                varies = np.ptp(x, axis=0) > VARIES * np.abs(x).max(axis=0)
                scale[block] = np.where(varies, deviation, np.inf)
        return {"widths": np.array(self.widths), CENTER: center, SCALE: scale}

    def _one_hot_covariates(self, train: Conditions) -> dict[str, np.ndarray]:
        """What stands for each value of each covariate, float32 ``(values, values)``.

        Its own vector; the mean of the others' where no training condition has it, so that nothing
        comes in that was not trained. Says which held-out conditions that concerns.
        """
        trained = self.vocabulary.encode_covariates(train).max(axis=0) > 0
        rows, first = np.eye(len(trained), dtype=np.float32), 0
        names: list[str] = []
        for key, values in self.vocabulary.covariates.items():
            block = slice(first, first + len(values))
            there = trained[block]
            rows[first + np.flatnonzero(~there), block] = there / there.sum()
            names += [f"{key}={value}" for value in values]
            first = block.stop
        held_out = self._held_out()
        lost = (self.vocabulary.encode_covariates(held_out) > 0).any(axis=0) & ~trained
        if lost.any():
            warnings.warn(
                f"train has no perturbed condition of {listed(np.array(names)[lost])}: a "
                f"{type(self).__name__} that knows covariates by name predicts there what the mean "
                "of the others would do. Let it read the controls instead.",
                UserWarning,
                stacklevel=4,
            )
        return {COVARIATES: rows}

    def _covariates(self, conditions: Conditions) -> torch.Tensor:
        """Vectors of the covariates of conditions, ``(conditions, values)``."""
        encoded = self.vocabulary.encode_covariates(conditions)
        return torch.from_numpy(encoded @ self._fixed[COVARIATES])

    def _scaled(self, conditions: Conditions) -> tuple[torch.Tensor, torch.Tensor]:
        """Standardised vectors ``(conditions, dimensions)``, 0 where an embedding has none.

        And whether each embedding has one, bool ``(conditions, embeddings)``.
        """
        sources = self._sources(conditions)
        scaled = (sources.vectors - self._fixed[CENTER]) / self._fixed[SCALE]
        there = np.column_stack([~np.isnan(scaled[:, b]).any(axis=1) for b in sources.blocks])
        x = np.nan_to_num(scaled).astype(np.float32)
        return torch.from_numpy(x), torch.from_numpy(there)


def _with(sources: Sources, there: np.ndarray) -> Sources:
    """Only some of the dimensions, bool ``(dimensions,)``: the others are NaN."""
    return replace(sources, vectors=np.where(there, sources.vectors, np.nan))
