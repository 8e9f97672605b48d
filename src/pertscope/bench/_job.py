"""One cell of the table to be: fit a model on a split screen, and judge its prediction."""

from __future__ import annotations

import contextlib
import inspect
import io
import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np

from pertscope import ev, get, pp, tl
from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.predictions import align_prediction, store_prediction
from pertscope._core.screen import Screen
from pertscope._core.splits import split_of
from pertscope.bench._keys import hash_of
from pertscope.bench._models import CEILING, FLOOR, MODEL, PREDICTION, ModelSpec
from pertscope.ev._bounds import needs_cells
from pertscope.ev._evaluate import default_metrics
from pertscope.ev._judged import observe
from pertscope.ev._metrics import parse
from pertscope.ev._task_screen import light
from pertscope.ev._tasks import DEFAULT_METRICS
from pertscope.models._registry import MODELS
from pertscope.models.interruption import TrainingInterruptedWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope.ev._tasks import Task

KEY = "model"
OF_RUN = ("task", "split_seeds", "cells_per_condition", "version")
"""What models share whose results are comparable."""


@dataclass(frozen=True)
class Job:
    """A model, a floor or a ceiling, of one task and seed.

    Attributes
    ----------
    kind
        ``"model"``, ``"floor"`` or ``"ceiling"``.
    split_seed
        Seed of the split; ``None`` for the task's own.
    definition
        Everything that the scores depend on, but for the seeds.
    """

    task: Task
    spec: ModelSpec
    kind: str
    seed: int
    split_seed: int | None
    cells_per_condition: int
    definition: dict[str, Any]

    @property
    def variant(self) -> str:
        """Hash of the definition: the same for all seeds, each of which may have a file."""
        if self.spec.prediction is None or self.spec.has_one_prediction:
            return hash_of(self.definition)
        return hash_of(self.definition | {PREDICTION: self.spec.prediction})

    @property
    def key(self) -> str:
        """Hash of everything that the scores depend on."""
        seeds = [self.split_seed] if self.kind != MODEL else [self.split_seed, self.seed]
        return hash_of([self.definition, self.kind, *seeds])

    def result(self, screen: ad.AnnData, on_epoch: Callable[..., None]) -> dict[str, Any]:
        """Do the work; an error becomes part of the result.

        Raises
        ------
        KeyboardInterrupt
            If the user interrupts, also where a model would keep what it has learned so far.
        """
        start = time.perf_counter()
        scores: dict[str, float] = {}
        n_conditions: dict[str, int] = {}
        error = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                with contextlib.redirect_stderr(io.StringIO()):  # bars of trainings
                    scores, n_conditions = self._scores(light_with_split(screen), on_epoch)
            except Exception as problem:  # noqa: BLE001 one model must not end the others
                error = f"{type(problem).__name__}: {problem}"
        said = list(dict.fromkeys(str(w.message) for w in caught))
        if any(issubclass(w.category, TrainingInterruptedWarning) for w in caught):
            raise KeyboardInterrupt
        return self.head() | {
            "seconds": round(time.perf_counter() - start, 3),
            "finished": datetime.now(UTC).isoformat(),
            "data": _size(screen),
            "error": error,
            "warnings": said,
            "scores": {k: None if np.isnan(v) else v for k, v in scores.items()},
            "n_conditions": n_conditions,
        }

    def head(self) -> dict[str, Any]:
        """What the result is of."""
        return {
            "task": self.task.name,
            "dataset": self.task.dataset_name,
            "scenario": self.task.scenario,
            "model": self.spec.name,
            "kind": self.kind,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "variant": self.variant,
            "task_variant": hash_of({k: self.definition[k] for k in OF_RUN}),
            "definition": self.definition,
        }

    def _scores(
        self, screen: ad.AnnData, on_epoch: Callable[..., None]
    ) -> tuple[dict[str, float], dict[str, int]]:
        wanted = self.task.metrics
        if wanted == DEFAULT_METRICS:
            wanted = default_metrics(observe(screen, keys.TEST).side)
        of_cells = [n for n, c in zip(wanted, parse(wanted), strict=True) if needs_cells(c)]
        of_means = [n for n in wanted if n not in of_cells]
        means, cells = self._predictions(screen, on_epoch, with_cells=bool(of_cells))
        scores, n_conditions = self._judge(screen, means, of_means)
        if cells is not None:
            more = self._judge(screen, cells, of_cells)
            scores, n_conditions = scores | more[0], n_conditions | more[1]
        return {m: scores.get(m, np.nan) for m in wanted}, n_conditions

    def _predictions(
        self, screen: ad.AnnData, on_epoch: Callable[..., None], *, with_cells: bool
    ) -> tuple[ad.AnnData, ad.AnnData | None]:
        """Predicted means, and cells where they are wanted and the model can predict them."""
        made = self.spec.prediction_of(self.seed)
        if made is not None:
            prediction = made if isinstance(made, ad.AnnData) else ad.read_h5ad(made)
            pp.add_prediction(screen, prediction, KEY)
            found = get.prediction(screen, KEY)
            rows = found.obs.groupby(list(found.obs.columns), observed=True).size()
            return found, found if with_cells and (rows > 1).any() else None
        fit = getattr(tl, f"fit_{self.spec.model}")
        settings = dict(self.spec.settings)
        if "seed" in inspect.signature(fit).parameters:
            settings["seed"] = self.seed
        if MODELS[self.spec.model].network:
            settings["on_epoch"] = on_epoch
        model = fit(screen, key_added=KEY, **settings)
        means = get.prediction(screen, KEY)
        if not with_cells:
            return means, None
        test = get.conditions(screen).query(f"~is_control and split == {keys.TEST!r}")
        cells = model.predict(test, cells_per_condition=self.cells_per_condition, seed=self.seed)
        return means, cells

    def _judge(
        self, screen: ad.AnnData, prediction: ad.AnnData, metrics: list[str]
    ) -> tuple[dict[str, float], dict[str, int]]:
        """Means over conditions, and over how many."""
        if not metrics:
            return {}, {}
        store_prediction(screen, KEY, align_prediction(prediction, screen, Screen.of(screen)))
        ev.evaluate(
            screen,
            KEY,
            metrics=metrics,
            floor=self.kind == FLOOR,
            ceiling=self.kind == CEILING,
            **self.task.options,
        )
        table = screen.uns["evaluation"]
        column = keys.VALUE if self.kind == MODEL else self.kind
        if column not in table:
            return {}, {}
        name = table[keys.METRIC].astype(str) + "_" + table[keys.STATISTIC].astype(str)
        values = table[column].groupby(name.to_numpy(), sort=False)
        return values.mean().to_dict(), {str(k): int(n) for k, n in values.count().items()}


def light_with_split(screen: ad.AnnData) -> ad.AnnData:
    """Same cells, genes and split; what is written there stays there. The matrix is shared."""
    made = light(screen)
    made.uns[keys.UNS] |= {keys.SPLITS: dict(screen.uns[keys.UNS].get(keys.SPLITS, {}))}
    return made


def _size(screen: ad.AnnData) -> dict[str, float]:
    """How much there is to learn from."""
    conditions = screen_conditions(screen, Screen.of(screen))
    perturbed = ~conditions.is_control[conditions.codes]
    train = conditions.codes[perturbed & (split_of(screen, conditions) == keys.TRAIN)]
    return {
        "train_conditions": len(np.unique(train)),
        "train_cells": len(train),
        "imbalance": get.imbalance(screen),
    }
