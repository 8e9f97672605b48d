"""What learns from all folds but one: a regressor, or any model that takes embeddings."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import PARTS
from pertscope._core.messages import listed, nearest
from pertscope._core.perturbation_embedding import read_embedding
from pertscope._core.screen import Screen
from pertscope._core.splits import UNUSED, part_of_cells
from pertscope._core.unseen import applies_any, unseen_parts
from pertscope.models._registry import MODELS
from pertscope.models.interruption import TrainingInterruptedWarning
from pertscope.models.response._embedding_features import say_what_is_missing
from pertscope.models.response._regression import REGRESSORS, RegressionOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from anndata import AnnData

    from pertscope.models.base import ResponseModel
    from pertscope.tl._out_of_fold import Folds

    Step = Callable[[], object]

JOINED = "+"
EMBEDDING, SEED = "perturbation_embedding", "seed"
NOT_SET = ("self", "adata", EMBEDDING, SEED, "on_epoch", "checkpoint", "checkpoint_seconds")
VAL_FRACTION, TRAIN_CONTROLS = 0.2, 0.5
"""Shares of the training perturbations that networks stop by, and of controls that they see."""

N_LEAST = 2
"""Perturbations that a network takes in training, one of them val."""


@dataclass(frozen=True)
class Regression:
    """A regressor, fitted to each combination of covariates by itself.

    Attributes
    ----------
    options
        What is fitted.
    """

    options: RegressionOptions

    @property
    def bound_options(self) -> RegressionOptions:
        """The regressor of bounds: itself."""
        return self.options

    def n_steps(self, folds: Folds) -> int:
        """How often :meth:`effects` says that something is done."""
        return len(list(folds.sides()))

    def effects(
        self, adata: AnnData, names: Sequence[str], folds: Folds, control: np.ndarray, step: Step
    ) -> np.ndarray:
        """Effects that embeddings predict out of fold, float32 ``(conditions, genes)``."""
        name = JOINED.join(names)
        sources = folds.sources([read_embedding(adata, n) for n in names])
        say_what_is_missing(name, cross_validated=(folds.conditions.index, sources.known))
        return folds.regress(name, sources, self.options, step)


@dataclass(frozen=True)
class FoldModel:
    """A model of the registry, made and trained anew for each fold.

    Attributes
    ----------
    model
        Its class.
    settings, train_settings
        Settings of the model and of its ``train()``.
    seed
        Its seed.
    """

    model: type[ResponseModel]
    settings: dict[str, Any]
    train_settings: dict[str, Any]
    seed: int

    @property
    def bound_options(self) -> RegressionOptions:
        """The regressor of bounds: nearest neighbours."""
        return RegressionOptions(seed=self.seed)

    def n_steps(self, folds: Folds) -> int:
        """How often :meth:`effects` says that something is done."""
        return folds.n_folds

    def effects(
        self, adata: AnnData, names: Sequence[str], folds: Folds, control: np.ndarray, step: Step
    ) -> np.ndarray:
        """Effects that embeddings predict out of fold, float32 ``(conditions, genes)``."""
        if len(names) > 1 and self._needs_vectors:
            raise ValueError(
                f"`embeddings`: {self.model.name!r} takes one embedding, not {listed(names)} at "
                "once; regressors and 'embedding_fusion' take several."
            )
        embeddings = [read_embedding(adata, n) for n in names]
        sources = folds.sources(embeddings)
        say_what_is_missing(
            JOINED.join(names), cross_validated=(folds.conditions.index, sources.known)
        )
        chosen = names[0] if len(names) == 1 else list(names)
        of, predicts, found = folds.of, np.ones(len(sources.known), bool), folds.train_means()
        if self._needs_vectors:
            predicts = sources.known
            of = {p: fold for p, fold in of.items() if p in embeddings[0].place}
        for fold in range(folds.n_folds):
            rows = np.flatnonzero((folds.fold == fold) & predicts)
            if len(rows):
                model = self._trained(adata, chosen, of, fold)
                wanted = folds.conditions.take(rows)
                predicted = model.predict(wanted.table)[wanted.index.to_list()]
                found[rows] = np.asarray(predicted.X) - control[rows]
            step()
        return found

    @property
    def _needs_vectors(self) -> bool:
        """Whether it refuses what has no vector; the others know what to do with it."""
        from pertscope.models.network import NetworkModel

        return issubclass(self.model, NetworkModel)

    def _trained(
        self, adata: AnnData, embedding: str | list[str], folds: Mapping[str, int], fold: int
    ) -> ResponseModel:
        """The model that learned from the other folds, as ``pp.split_unseen`` splits them.

        What applies a perturbation that is in no fold is left out.
        """
        from pertscope.ev._task_screen import light

        screen = light(adata)
        conditions = screen_conditions(screen, Screen.of(screen))
        share = VAL_FRACTION if MODELS[self.model.name].network else 0.0
        n_others = sum(of != fold for of in folds.values())
        if share and n_others < N_LEAST:
            raise ValueError(
                f"fold {fold} leaves {n_others} perturbation(s), and {self.model.name!r} takes at "
                f"least {N_LEAST}, one to learn from and one to stop by: take more `n_folds`, or "
                "more perturbations."
            )
        parts = unseen_parts(conditions, folds, fold, val_fraction=share, seed=self.seed)
        lost = {p for applied in conditions.components for p in applied} - folds.keys()
        parts |= dict.fromkeys(np.flatnonzero(applies_any(conditions, lost)).tolist(), UNUSED)
        cells = part_of_cells(
            conditions, parts, train_control_fraction=TRAIN_CONTROLS, seed=self.seed
        )
        screen.obs[conditions.screen.split_key] = pd.Categorical(cells, categories=list(PARTS))
        drawn = {SEED: self.seed} if SEED in signature(self.model).parameters else {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no vector in ", UserWarning)  # said before, of all
            warnings.simplefilter("error", TrainingInterruptedWarning)
            model = self.model(screen, **{EMBEDDING: embedding}, **drawn, **self.settings)
            try:
                model.train(**self.train_settings)
            except TrainingInterruptedWarning as warning:
                raise KeyboardInterrupt from warning
        return model


def learner(model: str, settings: Mapping[str, Any], seed: int) -> Regression | FoldModel:
    """What `model` names: a regressor, or a model of the registry that takes embeddings.

    Raises
    ------
    ValueError
        If it is neither, or has no such setting.
    """
    if model in REGRESSORS:
        known = {f.name for f in fields(RegressionOptions)} - {"regressor", SEED}
        _require_settings(settings, known)
        return Regression(RegressionOptions(regressor=model, seed=seed, **settings))
    model_class = MODELS[model].load() if model in MODELS else None
    if model_class is None or EMBEDDING not in signature(model_class).parameters:
        raise ValueError(
            f"`model`={model!r} must be one of {REGRESSORS}, or the name of a model that takes a "
            f"`{EMBEDDING}`, such as 'embedding_fusion'."
        )
    of_model = signature(model_class).parameters.keys() - set(NOT_SET)
    of_training = signature(model_class.train).parameters.keys() - set(NOT_SET)
    _require_settings(settings, of_model | of_training)
    return FoldModel(
        model_class,
        {k: v for k, v in settings.items() if k in of_model},
        {k: v for k, v in settings.items() if k not in of_model},
        seed,
    )


def _require_settings(settings: Mapping[str, Any], known: Collection[str]) -> None:
    for name in settings:
        if name not in known:
            raise ValueError(f"there is no setting {name!r}; {nearest(name, sorted(known))}.")
