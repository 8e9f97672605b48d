"""Conditions as vectors: what a trained model knows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TRAIN
from pertscope._core.messages import listed, nearest
from pertscope._core.perturbation_embedding import PerturbationEmbedding
from pertscope._core.splits import split_of
from pertscope.models.doses import Doses, treatments

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions
    from pertscope._core.screen import Screen


VECTORS = "perturbation_vectors"
"""Name under which a saved model keeps the vectors of its embedding."""


@dataclass(frozen=True)
class Vocabulary:
    """Perturbations and covariate values that a model was trained on.

    Attributes
    ----------
    perturbations
        Single perturbations, sorted.
    covariates
        Values of each covariate, sorted.
    doses
        Scale of the doses, where doses are registered.
    embedding
        Vectors of perturbations in place of one-hot ones: it knows all that have one.
    """

    perturbations: tuple[str, ...]
    covariates: dict[str, tuple[str, ...]]
    doses: Doses | None = None
    embedding: PerturbationEmbedding | None = None

    @classmethod
    def of(cls, conditions: Conditions, trained: np.ndarray) -> Vocabulary:
        """Vocabulary of the conditions where `trained` is true."""
        parts = {p for i in np.flatnonzero(trained) for p in conditions.components[i]}
        table = conditions.table[trained]
        return cls(
            perturbations=tuple(sorted(parts)),
            covariates={
                k: tuple(sorted(table[k].unique())) for k in conditions.screen.covariate_keys
            },
            doses=None if conditions.dose is None else Doses.of(conditions.dose[trained]),
        )

    @classmethod
    def from_dict(cls, entry: dict[str, Any], arrays: dict[str, np.ndarray]) -> Vocabulary:
        """Read what :meth:`to_dict` and :meth:`arrays` wrote."""
        doses, embedding = entry["doses"], entry["embedding"]
        return cls(
            tuple(entry["perturbations"]),
            {k: tuple(v) for k, v in entry["covariates"].items()},
            None if doses is None else Doses(*doses),
            None
            if embedding is None
            else PerturbationEmbedding(
                tuple(embedding["names"]), arrays[VECTORS], embedding["combine"]
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Values as JSON holds them."""
        return {
            "perturbations": list(self.perturbations),
            "covariates": {k: list(v) for k, v in self.covariates.items()},
            "doses": None if self.doses is None else list(self.doses),
            "embedding": None
            if self.embedding is None
            else {"names": list(self.embedding.names), "combine": self.embedding.combine},
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Vectors of the embedding, where there is one."""
        return {} if self.embedding is None else {VECTORS: self.embedding.vectors}

    @property
    def n_perturbation_inputs(self) -> int:
        """Length of the vector of a perturbation."""
        if self.embedding is not None:
            return self.embedding.vectors.shape[1]
        return len(self.perturbations)

    @property
    def n_covariates(self) -> int:
        """Length of a covariate vector: all values of all covariates."""
        return sum(map(len, self.covariates.values()))

    def singles(self) -> np.ndarray:
        """Vector of each perturbation by itself, float32, in the order of `perturbations`."""
        if self.embedding is not None:
            return self.embedding.of([(p,) for p in self.perturbations])
        return np.eye(len(self.perturbations), dtype=np.float32)

    def encode_perturbations(self, conditions: Conditions) -> np.ndarray:
        """Vector of what each condition applies, float32 ``(conditions, n_perturbation_inputs)``.

        Multi-hot, or the sum or mean of the embedding's vectors; times the scaled dose where doses
        are registered. Zeros for controls.

        Raises
        ------
        ValueError
            If a perturbation is not in the vocabulary, or not in the embedding.
        """
        if self.embedding is not None:
            encoded = self.embedding.of(conditions.components)
        else:
            encoded = self._multi_hot(conditions)
        if self.doses is not None and conditions.dose is not None:
            encoded *= self.doses.scaled(conditions.dose)[:, None].astype(np.float32)
        return encoded

    def encode_covariates(self, conditions: Conditions) -> np.ndarray:
        """One-hot covariates, one block per covariate, float32 ``(conditions, n_covariates)``.

        Raises
        ------
        ValueError
            If a covariate value is not in the vocabulary.
        """
        encoded = np.zeros((len(conditions), self.n_covariates), dtype=np.float32)
        first = 0
        for key, values in self.covariates.items():
            place = {v: i for i, v in enumerate(values)}
            for i, value in enumerate(conditions.table[key]):
                if value not in place:
                    raise ValueError(
                        f"the model never saw {key} {value!r} in training; {nearest(value, place)}."
                    )
                encoded[i, first + place[value]] = 1
            first += len(values)
        return encoded

    def _multi_hot(self, conditions: Conditions) -> np.ndarray:
        place = {p: i for i, p in enumerate(self.perturbations)}
        unknown = sorted({p for parts in conditions.components for p in parts} - place.keys())
        if unknown:
            raise ValueError(
                f"the model never saw perturbation(s) {listed(unknown)} in training; "
                f"{nearest(unknown[0], place)}. It can only combine what it saw: networks that "
                "take a `perturbation_embedding` predict whatever has a row there."
            )
        encoded = np.zeros((len(conditions), len(place)), dtype=np.float32)
        for i, parts in enumerate(conditions.components):
            encoded[i, [place[p] for p in parts]] = 1
        return encoded


def training_vocabulary(adata: AnnData, screen: Screen, *, with_doses: bool) -> Vocabulary:
    """Vocabulary of the train part of a screen.

    Raises
    ------
    ValueError
        If the train part has no perturbed cells.
    """
    conditions = screen_conditions(adata, screen)
    applied, codes = conditions, conditions.codes
    if with_doses:
        applied, codes = treatments(adata.obs, conditions)
    in_train = codes[split_of(adata, conditions) == TRAIN]
    trained = np.bincount(in_train, minlength=len(applied)) > 0
    if not (trained & ~applied.is_control).any():
        raise ValueError(f"`.obs[{screen.split_key!r}]` has no perturbed cells in 'train'.")
    return Vocabulary.of(applied, trained)
