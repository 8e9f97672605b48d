"""Models x seeds of one or more tasks, into a folder."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pertscope._version import __version__
from pertscope.bench._job import Job
from pertscope.bench._keys import input_definition, model_definition, task_definition
from pertscope.bench._models import CEILING, FLOOR, MODEL, ModelSpec, model_specs
from pertscope.bench._read import tidy
from pertscope.bench._screens import Screens
from pertscope.bench._store import claimed, read_result, write_result
from pertscope.ev._tasks import as_task, tasks_of

if TYPE_CHECKING:
    import pandas as pd
    from tqdm import tqdm

    from pertscope.ev._tasks import Task

WAIT = 0.5
"""Seconds between two looks at what another process is working on."""

GUESS = "no_change"
"""A floor and a ceiling belong to no model: those beside this one, which always is, are taken."""


def run(
    task: str | Path | Mapping[str, Any] | Sequence[str | Mapping[str, Any]],
    models: str | Sequence[str] | Mapping[str, Any],
    *,
    results: Path | str,
    seeds: Sequence[int] = (0, 1, 2),
    split_seeds: bool = True,
    floor: bool = True,
    ceiling: bool = True,
    cells_per_condition: int = 200,
    retry_failed: bool = False,
    cache: Path | str | None = None,
    **train_kwargs: Any,
) -> pd.DataFrame:
    """Fit and judge models over seeds, and keep each result as soon as it is there.

    What a folder holds is not done again: a run that was stopped goes on where it was, further
    seeds or models are added, and several processes may work on one folder at the same time. A
    result belongs to the content of its task, the settings of its model, its seeds and the version
    of pertscope: where one of these changes, it is made anew. A model that fails is noted with its
    error, and the others go on.

    Parameters
    ----------
    task
        Name of a task, see :meth:`pertscope.ev.Evaluator.list_tasks`; a mapping with the fields of
        a task and its ``name``, whose ``dataset`` is an ``.h5ad`` file, a registered AnnData or a
        public screen; a YAML file, for all tasks in it; or a list of names and mappings.
    models
        Names such as ``["linear", "cpa"]``; or a mapping of the names in the table to a name,
        to settings, ``{"CPA (noAdv)": {"model": "cpa", "adversarial": False}}``, or to a
        prediction made elsewhere: an AnnData or an ``.h5ad`` file, in whose name ``{seed}``
        stands for the seed.
    results
        Folder, made where there is none.
    seeds
        Seeds of the models, and of the splits.
    split_seeds
        Draw a split with every seed, in place of the seed that the task gives; otherwise all seeds
        share the task's own split. :class:`pertscope.ev.Evaluator` gives the screen of a seed.
    floor, ceiling
        Whether to score, for each split, the best uninformed guess and a replicate.
    cells_per_condition
        Predicted cells of a condition, at most, for metrics that need cells; all others are taken
        on the mean response of all controls.
    retry_failed
        Do again what failed before.
    cache
        Folder of downloaded screens, as in :func:`pertscope.datasets.load`.
    **train_kwargs
        Passed to the training of all networks that do not set it themselves: ``max_epochs``,
        ``batch_size``, ``accelerator``, ...

    Returns
    -------
    What was asked for, as :func:`pertscope.bench.read` describes it.

    Raises
    ------
    KeyError
        If there is no such task.
    ValueError
        If a task, model or setting does not exist, one prediction made elsewhere is to serve
        several splits, or two names stand for the same.

    Warns
    -----
    UserWarning
        If models failed, or warned.

    References
    ----------
    Wu et al., PerturBench (2024), section 5.

    Examples
    --------
    >>> import tempfile
    >>> import pertscope as ps
    >>> task = {
    ...     "name": "simulated",
    ...     "dataset": {"simulate_screen": {"n_perturbations": 12, "n_genes": 50}},
    ...     "screen": {"covariate_keys": ["cell_type"]},
    ...     "prepare": [{"normalize": {}}],
    ...     "split": {"split_transfer": {"max_fraction": 0.5}},
    ...     "metrics": ["rmse_mean", "rmse_rank_mean"],
    ... }
    >>> folder = tempfile.mkdtemp()
    >>> scores = ps.bench.run(task, ["additive", "bilinear"], seeds=[0, 1], results=folder)
    >>> sorted(scores["model"].unique())
    ['additive', 'bilinear', 'ceiling', 'floor']
    >>> print(ps.bench.to_text(folder))  # doctest: +ELLIPSIS
    | model | rmse_mean ...
    """
    from tqdm.auto import tqdm

    seeds = [int(s) for s in seeds]
    if not seeds:
        raise ValueError("`seeds` is empty: name at least one.")
    specs = model_specs(models, train_kwargs)
    fixed = [s.name for s in specs if s.has_one_prediction]
    if fixed and split_seeds and len(seeds) > 1:
        raise ValueError(
            f"model {fixed[0]!r}: one prediction cannot serve {len(seeds)} splits: give a file per "
            "seed, 'mine_{seed}.h5ad', or pass `split_seeds=False` for one split."
        )
    bounds = [
        ModelSpec(kind, GUESS) for kind, wanted in ((FLOOR, floor), (CEILING, ceiling)) if wanted
    ]
    common = {
        "cells_per_condition": cells_per_condition,
        "split_seeds": split_seeds,
        "version": __version__,
    }
    jobs: dict[str, Job] = {}
    for one in _tasks(task):
        one.check()
        asked = {"task": task_definition(one)}
        inputs = [input_definition(one, spec.settings) for spec in (*bounds, *specs)]
        for seed in seeds:
            for spec, taken in zip((*bounds, *specs), inputs, strict=True):
                definition = common | asked | model_definition(spec, seed) | taken
                kind = spec.name if spec in bounds else MODEL
                drawn = seed if split_seeds else None
                job = Job(one, spec, kind, seed, drawn, cells_per_condition, definition)
                same = jobs.setdefault(job.key, job).spec.name
                if same != spec.name:
                    raise ValueError(
                        f"models {same!r} and {spec.name!r} have the same settings or prediction."
                    )
    folder = Path(results)
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(jobs), desc="benchmark", unit="fit") as bar:
        found = _work(folder, jobs, bar, retry_failed=retry_failed, cache=cache)
    _warn(found)
    return tidy(found[key] for key in jobs)


def _tasks(task: Any) -> list[Task]:
    if isinstance(task, str | Path) and str(task).endswith((".yaml", ".yml")):
        return tasks_of(task)
    many = [task] if isinstance(task, str | Mapping) or not isinstance(task, Sequence) else task
    return [as_task(one) for one in many]


def _work(
    folder: Path,
    jobs: Mapping[str, Job],
    bar: tqdm,
    *,
    retry_failed: bool,
    cache: Path | str | None,
) -> dict[str, dict[str, Any]]:
    """Results of all jobs: those that are there, and then what no other process is doing."""
    found: dict[str, dict[str, Any]] = {}

    def known(job: Job) -> bool:
        result = read_result(folder, job.key)
        if result is None or (retry_failed and result["error"]):
            return False
        now = {"model": job.spec.name, "variant": job.variant}
        if result | now != result:  # called otherwise since, or the files of all seeds are
            result |= now
            write_result(folder, job.key, result)
        found[job.key] = result
        bar.update()
        return True

    left = list(jobs.values())
    screens = Screens(cache)
    while left:
        elsewhere = []
        for job in left:
            if known(job):
                continue
            with claimed(folder, job.key) as ours:
                if not ours:
                    elsewhere.append(job)
                elif not known(job):
                    found[job.key] = _do(job, screens, bar)
                    write_result(folder, job.key, found[job.key])
                    bar.update()
        if len(elsewhere) == len(left):
            time.sleep(WAIT)
        left = elsewhere
    return found


def _do(job: Job, screens: Screens, bar: tqdm) -> dict[str, Any]:
    doing = f"{job.task.name}: {job.spec.name}, seed {job.seed}"
    bar.set_postfix_str(doing)

    def on_epoch(epoch: int, losses: dict[str, float]) -> None:  # noqa: ARG001
        bar.set_postfix_str(f"{doing}, epoch {epoch + 1}")

    return job.result(screens.of(job), on_epoch)


def _warn(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Say once what was said in every fit."""
    said: dict[str, list[str]] = {}
    for result in found.values():
        texts = [*result["warnings"], *([f"failed, {result['error']}"] if result["error"] else [])]
        for text in texts:
            said.setdefault(text, []).append(f"{result['model']} (seed {result['seed']})")
    for text, names in said.items():
        warnings.warn(f"{', '.join(names)}: {text}", UserWarning, stacklevel=3)
