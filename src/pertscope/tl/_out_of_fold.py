"""Predictions of conditions by regressions that never saw them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core.deg_labels import most_frequent_labels
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed
from pertscope._core.moments import moments
from pertscope._core.perturbation_embedding import PerturbationEmbedding
from pertscope._core.threads import in_threads
from pertscope.models.response._embedding_features import Sources, join_embeddings
from pertscope.models.response._joined_regression import fit_joined, is_stacked, predict_joined
from pertscope.models.response._regression import (
    KNN,
    RegressionOptions,
    learn_features,
    require_learned,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions


@dataclass(frozen=True, eq=False)
class Folds:
    """Effects of conditions, dealt into folds by their perturbations.

    Attributes
    ----------
    conditions
        Perturbed conditions.
    effects
        Their effects, float32 ``(conditions, genes)``.
    of
        Fold of each perturbation.
    n_folds
        Number of folds.
    """

    conditions: Conditions
    effects: np.ndarray
    of: dict[str, int]
    n_folds: int
    _grams: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def fold(self) -> np.ndarray:
        """Fold in which each condition is predicted, int64: the first of its perturbations'."""
        first = [min(self.of[p] for p in parts) for parts in self.conditions.components]
        return np.array(first, dtype=np.int64)

    def sides(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield ``(context, train, test)`` of each fold of each combination of covariates.

        A combination trains only where none of its perturbations is held out.

        Raises
        ------
        ValueError
            If there is nothing to train on.
        """
        context, fold = self.conditions.context, self.fold
        for f in range(self.n_folds):
            held_out = {p for p, of in self.of.items() if of == f}
            trains = np.array([held_out.isdisjoint(c) for c in self.conditions.components])
            for c in range(len(self.conditions.contexts)):
                test = np.flatnonzero((context == c) & (fold == f))
                train = np.flatnonzero((context == c) & trains)
                if len(test) and not len(train):
                    raise ValueError(
                        f"there is nothing to train on where {listed(self.conditions.index[test])} "
                        "are held out: take other folds, or leave them out of the screen."
                    )
                if len(test):
                    yield c, train, test

    def gram(self, context: int) -> np.ndarray:
        """``Y Y'`` of the centred effects of a combination of covariates, by its own rows."""
        if context not in self._grams:
            y = self.effects[self.conditions.context == context]
            y = y - y.mean(axis=0, dtype=np.float64)
            self._grams[context] = y @ y.T
        return self._grams[context]

    def train_means(self) -> np.ndarray:
        """Mean training effect for each condition, float32 ``(conditions, genes)``."""
        found = np.empty_like(self.effects)
        for _, train, test in self.sides():
            found[test] = self.effects[train].mean(axis=0, dtype=np.float64)
        return found

    def train_modes(self) -> np.ndarray:
        """Most frequent training label of each gene for each condition, float32."""
        found = np.empty_like(self.effects)
        for _, train, test in self.sides():
            found[test] = most_frequent_labels(self.effects[train])
        return found

    def train_draws(self, seed: int) -> np.ndarray:
        """Label of a training condition drawn for each condition and gene, float32."""
        rng, found = np.random.default_rng([seed, 2]), np.empty_like(self.effects)
        genes = np.arange(found.shape[1])
        for _, train, test in self.sides():
            found[test] = self.effects[rng.choice(train, (len(test), len(genes))), genes]
        return found

    def regress(
        self, name: str, sources: Sources, options: RegressionOptions, step: Callable[[], object]
    ) -> np.ndarray:
        """Predicted effects, float32 ``(conditions, genes)``; calls `step` after each regression.

        Raises
        ------
        ValueError
            If nothing can be learned anywhere.
        """
        found = np.empty_like(self.effects)
        needs_gram = options.regressor == KNN
        if needs_gram:
            in_threads(self.gram, ((c,) for c in range(len(self.conditions.contexts))))
        place = np.argsort(np.argsort(self.conditions.context, kind="stable"), kind="stable")
        first = np.searchsorted(np.sort(self.conditions.context), self.conditions.context)
        within = place - first  # row of each condition in the Gram matrix of its context

        def one(
            context: int,
            train: np.ndarray,
            test: np.ndarray,
            features: dict[str, np.ndarray] | None,
        ) -> bool:
            rows = within[train]
            learned = fit_joined(
                sources.take(train),
                self.effects[train],
                options,
                gram=self.gram(context)[np.ix_(rows, rows)] if needs_gram else None,
                features=features,
            )
            found[test] = predict_joined(learned, sources.take(test), options)
            step()
            return "chosen" in learned

        each = zip(self.sides(), self._features(sources, options), strict=True)
        require_learned(name, in_threads(one, ((*side, features) for side, features in each)))
        return found

    def _features(
        self, sources: Sources, options: RegressionOptions
    ) -> list[dict[str, np.ndarray] | None]:
        """What turns vectors into features on each side; learned once where it is the same.

        ``None`` where each embedding learns its own.
        """
        if is_stacked(sources, options):
            return [None for _ in self.sides()]
        known = np.flatnonzero(sources.known)
        trained = [np.intersect1d(train, known) for _, train, _ in self.sides()]
        names = [tuple(self.conditions.labels[rows]) for rows in trained]
        rows_of = dict(zip(names, trained, strict=True))
        learned = in_threads(
            learn_features, ((sources.take(rows), options) for rows in rows_of.values())
        )
        found = dict(zip(rows_of, learned, strict=True))
        return [found[name] for name in names]

    def idealised(self, n_dims: int) -> Sources:
        """Principal components of all effects, those of test among them, as vectors.

        Within each combination of covariates; what is not there is 0.
        """
        from scipy.linalg import eigh

        vectors = np.zeros((len(self.effects), n_dims))
        for c in range(len(self.conditions.contexts)):
            rows = np.flatnonzero(self.conditions.context == c)
            within = (max(len(rows) - n_dims, 0), len(rows) - 1)
            variance, axes = eigh(self.gram(c), subset_by_index=within)
            scores = axes * np.sqrt(np.maximum(variance, 0))
            vectors[rows, : scores.shape[1]] = scores[:, ::-1]
        return Sources(vectors, (n_dims,), as_is=True)

    def sources(self, embeddings: Sequence[PerturbationEmbedding]) -> Sources:
        """Vectors of the conditions, NaN where there are none."""
        joined = join_embeddings(embeddings, self.of)
        vectors = joined.of(self.conditions.components).astype(np.float64)
        return Sources(vectors, tuple(e.vectors.shape[1] for e in embeddings))

    def random(self, n_dims: int, seed: int) -> Sources:
        """Vectors that say nothing: uniform between 0 and 1, those of combinations are summed."""
        names = tuple(sorted(self.of))
        vectors = np.random.default_rng([seed, 1]).random((len(names), n_dims))  # not the folds'
        return self.sources([PerturbationEmbedding(names, vectors.astype(np.float32))])


def read_folds(
    adata: AnnData, conditions: Conditions, of: dict[str, int], n_folds: int
) -> tuple[Folds, np.ndarray]:
    """Effects of all conditions of a screen, and the mean of each one's controls, float32."""
    rows = np.flatnonzero(~conditions.is_control)
    controls = conditions.matched_controls(rows)
    x = matrix_of(adata, conditions.screen.layer)
    mean = moments(x, conditions.codes, len(conditions), names=adata.var_names).mean
    effects = (mean[rows] - mean[controls]).astype(np.float32)
    return Folds(conditions.take(rows), effects, of, n_folds), mean[controls].astype(np.float32)


def fold_column(conditions: Conditions, folds: Folds) -> pd.Categorical:
    """Fold of each row of a screen, missing for controls."""
    of_condition = np.full(len(conditions), -1)
    of_condition[~conditions.is_control] = folds.fold
    names = [str(f) for f in range(folds.n_folds)]
    return pd.Categorical.from_codes(of_condition[conditions.codes], names)
