"""Search for the settings of a model that predict validation conditions best."""

from __future__ import annotations

import platform
import time
import warnings
from typing import TYPE_CHECKING, Any

from pertscope._core import keys
from pertscope._core.screen import require_actual
from pertscope.models.checks import require_positive
from pertscope.tl._candidate import Candidate
from pertscope.tl._search import Search
from pertscope.tl._search_space import search_space_of
from pertscope.tl._train_and_predict import keep_prediction
from pertscope.tl._tuning_table import (
    EPOCHS,
    ERROR,
    INTERRUPTED,
    MACHINE,
    MEASURED,
    SECONDS,
    trial_row,
    tuning_table,
)
from pertscope.tl._validation import Validation

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from anndata import AnnData
    from optuna.trial import FrozenTrial

    from pertscope.models.base import ResponseModel

WARMUP_SHARE = 10
"""No trial is pruned in the first tenth of the epochs."""


def tune(
    adata: AnnData,
    model: str = "latent_additive",
    *,
    n_trials: int = 60,
    n_seeds: int = 5,
    search_space: Mapping[str, Mapping[str, Any]] | None = None,
    storage: str | os.PathLike[str] | None = None,
    study_name: str | None = None,
    max_epochs: int = 500,
    seed: int = 0,
    prune: bool = True,
    key_added: str | None = None,
    **settings: Any,
) -> ResponseModel:
    """Search for the settings of a model that predict validation conditions best.

    Trials lower ``RMSE + 0.1 rank``, the error of predicted means and the rank by it, each a mean
    over the conditions of ``val``. Nothing of ``test`` is looked at, not even its controls.
    Settings are drawn by a tree-structured Parzen estimator from the ranges that PerturBench
    published. The best settings are then trained with further seeds.

    Parameters
    ----------
    adata
        Registered, split screen: on a log or standardised scale, but for likelihoods of counts.
    model
        Name of a model, such as ``"cpa"``: that of its ``fit_*`` function.
    n_trials
        Trials in all, those of earlier calls and of other processes included.
    n_seeds
        Trainings of the best settings, the trial's own included. Models that draw nothing are
        trained once.
    search_space
        Setting -> ``{"choices": [...]}``, or ``{"low": ..., "high": ...}`` with ``"step"`` or
        ``"log": True``; settings of the model and of its ``train()``. By default the published
        ranges.
    storage
        File in which trials are kept, which may lie on a disk that machines share, or the URL of a
        database. Processes that name the same one work on the same study; a later call goes on
        with it. By default trials live in memory, for this call.
    study_name
        Name of the study in `storage`; by default `key_added`.
    max_epochs
        Most epochs of a training. Baselines have none.
    seed
        Seed of the search and of all trials; the further seeds are those that follow.
    prune
        End trials early whose validation loss is worse than the median of the others at that epoch,
        after the first tenth of the epochs. Not done where the likelihood is searched: such
        losses cannot be compared.
    key_added
        Name of the prediction and of the table; by default the model's name.
    **settings
        Settings of the model and of its ``train()`` that are not searched, such as ``accelerator``.

    Returns
    -------
    The best trial's model. Writes its prediction of the val and test conditions to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32;
    those of further seeds beside it, as ``<key_added>_seed<n>``; and a table to
    ``.uns["tune"][key_added]`` with a row per trial and per further seed: ``trial``, ``seed``,
    ``epochs`` (int64); ``objective``, ``rmse_mean``, ``rmse_rank_mean`` on the validation
    conditions and ``seconds`` (float64, NaN where there is none); ``state`` (``"complete"``,
    ``"pruned"``, ``"failed"`` or ``"running"``), ``machine``, ``error`` (categorical); and each
    searched setting, float64 if it is a number and categorical if not.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    KeyError
        If the screen is not registered or not split.
    ValueError
        If the model or a setting is unknown, there is nothing to tune, a range is malformed, the
        study in `storage` is one of other data or settings, or all trials failed.

    Warns
    -----
    UserWarning
        If trials failed, or the search was interrupted (Ctrl-C): what was found is kept.

    References
    ----------
    Wu et al., PerturBench (2024), section 4.3 and appendix D.6. Akiba et al., Optuna (2019).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=20, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.tune(adata, "bilinear", n_trials=3)
    >>> adata.uns["tune"]["bilinear"]["state"].tolist()
    ['complete', 'complete', 'complete']
    >>> float(adata.uns["tune"]["bilinear"]["ridge"].max()) >= model.settings["ridge"]
    True
    """
    from tqdm.auto import tqdm

    key = keys.check_key(model if key_added is None else key_added)
    require_positive(n_trials=n_trials, n_seeds=n_seeds, max_epochs=max_epochs)
    candidate = Candidate(model, settings)
    space = search_space_of(candidate, search_space)
    studies = _studies()
    search = Search(candidate, space, adata, Validation(adata), seed, max_epochs)
    more = range(seed + 1, seed + n_seeds) if candidate.has_seed else range(0)
    with studies.quiet(), tqdm(total=n_trials + len(more), desc="tuning", unit="fit") as bar:
        study = studies.open_study(
            storage,
            study_name or key,
            seed=seed,
            warmup_epochs=max_epochs // WARMUP_SHARE,
            asked={} if storage is None else search.asked,
        )
        require_actual(adata)
        try:
            studies.run_trials(study, search, n_trials, prune=prune, bar=bar)
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        best, trials = studies.best_trial(study), study.get_trials(deepcopy=False)
        found = search.model_of(best)
        keep_prediction(adata, found, found.predict(), key)
        rows = [trial_row(t, seed) for t in trials]
        try:
            for s in () if interrupted else more:
                rows.append(_further_seed(search, best, s, key))
                bar.update()
        except KeyboardInterrupt:
            interrupted = True
    adata.uns.setdefault(keys.TUNE, {})[key] = tuning_table(rows, list(space))
    _warn(rows, key, interrupted=interrupted)
    return found


def _studies() -> ModuleType:
    """What keeps trials.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "`tune` needs the package optuna: `pip install 'pertscope[tune]'`."
        ) from error
    from pertscope.tl import _study

    return _study


def _further_seed(search: Search, best: FrozenTrial, seed: int, key: str) -> dict[str, Any]:
    """Train the best settings with another seed and keep the prediction; its row of the table."""
    from pertscope.tl import _study

    row = trial_row(best, seed)
    start = time.monotonic()
    try:
        model, scores = search.fit(best.params, seed)
    except _study.FAILURES as error:
        failed = dict.fromkeys((*MEASURED,), None) | {EPOCHS: 0, "state": "failed"}
        return row | failed | {ERROR: f"{type(error).__name__}: {error}"}
    keep_prediction(search.adata, model, model.predict(), f"{key}_seed{seed}")
    here = {SECONDS: time.monotonic() - start, MACHINE: platform.node()}
    return row | scores | here


def _warn(rows: Sequence[Mapping[str, Any]], key: str, *, interrupted: bool) -> None:
    where = f"`.uns[{keys.TUNE!r}][{key!r}]`"
    if interrupted:
        warnings.warn(
            f"tuning was interrupted: the best of {len(rows)} training(s) is kept, all are in "
            f"{where}. With a `storage`, another call goes on.",
            UserWarning,
            stacklevel=3,
        )
    failed = [str(r[ERROR]) for r in rows if r["state"] == "failed" and r[ERROR] != INTERRUPTED]
    if failed:
        warnings.warn(
            f"{len(failed)} of {len(rows)} trainings failed, see {where}; the last with "
            f"{failed[-1]}",
            UserWarning,
            stacklevel=3,
        )
