"""Trials of settings, kept by Optuna: imported where something is tuned."""

from __future__ import annotations

import gc
import json
import platform
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import optuna
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from pertscope._core.messages import listed
from pertscope.tl._tuning_table import ERROR, INTERRUPTED, MACHINE, SECONDS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from tqdm import tqdm

    from pertscope.tl._search import Search

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
FAILURES = (ValueError, RuntimeError, MemoryError, ArithmeticError)
"""What a trial may end with while the study goes on: an infinite loss, no memory left."""

ASKED = "asked"


@final
class NumberedTPE(BaseSampler):
    """Tree-structured Parzen estimator whose draws depend on the seed and the trial's number.

    Not on the process, nor on how often the study was taken up again: processes that share a study
    draw differently, and a study that was resumed is the one that was not interrupted.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tpe = TPESampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Start a new stream of random numbers."""
        own = np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0]
        self._tpe = TPESampler(seed=int(own))
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As TPE does."""
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As TPE does."""
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As TPE does."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out Optuna's own messages."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def open_study(
    storage: str | os.PathLike[str] | None,
    name: str,
    *,
    seed: int,
    warmup_epochs: int,
    asked: Mapping[str, Any],
) -> Study:
    """Make a study, or take up the one of this name.

    Parameters
    ----------
    storage
        File, URL of a database, or ``None`` for memory.
    name
        Name of the study.
    seed
        Of the draws.
    warmup_epochs
        Epochs in which no trial is pruned.
    asked
        What the trials of the study have in common, as JSON holds it.

    Raises
    ------
    ValueError
        If the study was made with something else in common.
    """
    study = optuna.create_study(
        storage=_storage(storage),
        study_name=name,
        sampler=NumberedTPE(seed),
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=warmup_epochs),
        direction="minimize",
        load_if_exists=True,
    )
    here = json.loads(json.dumps(asked, default=str))
    there = study.user_attrs.get(ASKED)
    if there is None:
        study.set_user_attr(ASKED, here)
    elif there != here:
        other = sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))
        raise ValueError(
            f"the study {name!r} in {storage} was made with other {listed(other)}: pass the same, "
            "or another `study_name`."
        )
    return study


def _storage(storage: str | os.PathLike[str] | None) -> BaseStorage:
    if storage is None:
        return InMemoryStorage()
    if "://" in str(storage):
        return RDBStorage(str(storage))
    path = Path(storage)
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))


def run_trials(study: Study, search: Search, n_trials: int, *, prune: bool, bar: tqdm) -> None:
    """Run trials until `n_trials` have ended, whichever process ran them, and however.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted; the trial is recorded as failed.
    """
    prune = prune and search.can_prune

    def show() -> int:
        ended = study.get_trials(deepcopy=False, states=FINISHED)
        values = [t.value for t in ended if t.value is not None and t.state == TrialState.COMPLETE]
        if values:
            bar.set_postfix(best=f"{min(values):.4g}", refresh=False)
        bar.update(min(len(ended), n_trials) - bar.n)
        return len(ended)

    while show() < n_trials:
        _run_trial(study, search, prune=prune)


def _run_trial(study: Study, search: Search, *, prune: bool) -> None:
    """Run one trial and record how it ended."""
    trial = study.ask()
    trial.set_user_attr(MACHINE, platform.node())

    def on_epoch(epoch: int, losses: dict[str, float]) -> None:
        trial.report(losses.get("val_loss", float("nan")), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    start = time.monotonic()
    state, value = TrialState.FAIL, None
    try:
        value = search.run(trial, on_epoch if prune else None)
        state = TrialState.COMPLETE
    except optuna.TrialPruned:
        state = TrialState.PRUNED
    except FAILURES as error:
        trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        trial.set_user_attr(ERROR, INTERRUPTED)
        raise
    finally:
        trial.set_user_attr(SECONDS, time.monotonic() - start)
        study.tell(trial, value, state=state)
        _free_device()


def _free_device() -> None:
    """Free what a training held of a GPU: its parts refer to each other."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()


def best_trial(study: Study) -> FrozenTrial:
    """Trial with the lowest objective.

    Raises
    ------
    KeyboardInterrupt
        If the only trial there is was interrupted.
    ValueError
        If all failed.
    """
    if study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return study.best_trial
    errors = [t.user_attrs.get(ERROR) for t in study.get_trials(deepcopy=False, states=FINISHED)]
    if errors[-1:] == [INTERRUPTED]:
        raise KeyboardInterrupt
    raise ValueError(f"all {len(errors)} trial(s) failed, the last with {errors[-1]}")
