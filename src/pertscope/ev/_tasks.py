"""Read and check fixed benchmark tasks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pertscope import datasets, pp
from pertscope._core.messages import listed, nearest
from pertscope.ev._compat import tool_metrics
from pertscope.ev._evaluate import evaluate
from pertscope.ev._metrics import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

TASKS = Path(__file__).with_name("tasks.yaml")
SPLIT = "split_"
"""How the names of the functions of ``pp`` begin that split."""

AFTER_SPLIT = "subsample_train"
"""The function of ``pp`` whose arguments are a task's `subsample`."""

SIMULATED = "simulate_screen"
SCENARIOS = ("", "scaling", "imbalance")

SET_BY_EVALUATOR = {"predictions", "metrics", "floor", "ceiling", "split", "key_added"}
DEFAULT_METRICS = "default"


@dataclass(frozen=True)
class Task:
    """One task; the head of ``tasks.yaml`` says what the fields mean.

    Attributes
    ----------
    folder
        Folder of the file that holds the task: paths in it are relative to that.
    """

    name: str
    asks: str
    dataset: str | dict[str, dict[str, Any]] | AnnData
    split: dict[str, dict[str, Any]]
    folder: Path
    screen: dict[str, Any] = field(default_factory=dict)
    keep: dict[str, list[Any]] = field(default_factory=dict)
    prepare: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    metrics: list[str] | str = DEFAULT_METRICS
    options: dict[str, Any] = field(default_factory=dict)
    subsample: dict[str, Any] = field(default_factory=dict)
    scenario: str = ""

    @property
    def file(self) -> Path | None:
        """The file of a screen of one's own; ``None`` for any other."""
        if isinstance(self.dataset, str) and self.dataset.endswith(".h5ad"):
            return self.folder / self.dataset
        return None

    @property
    def dataset_name(self) -> str:
        """What a table calls the screen."""
        if isinstance(self.dataset, str):
            return self.dataset
        return next(iter(self.dataset)) if isinstance(self.dataset, Mapping) else "AnnData"

    @property
    def steps(self) -> list[tuple[str, dict[str, Any]]]:
        """Functions of ``pp`` with their arguments, the split and what comes after it last."""
        return [*self.prepare_steps, *self.split_steps()]

    @property
    def prepare_steps(self) -> list[tuple[str, dict[str, Any]]]:
        """Functions of ``pp`` with their arguments that come before the split."""
        return [(k, self._with_path(v or {})) for step in self.prepare for k, v in step.items()]

    def split_steps(self, seed: int | None = None) -> list[tuple[str, dict[str, Any]]]:
        """The split, and what comes after it; `seed` goes before the seeds of the task."""
        steps = [(k, self._with_path(v or {})) for k, v in self.split.items()]
        if self.subsample:
            steps.append((AFTER_SPLIT, dict(self.subsample)))
        if seed is not None:
            for name, arguments in steps:
                if "seed" in inspect.signature(getattr(pp, name)).parameters:
                    arguments["seed"] = seed
        return steps

    @property
    def split_name(self) -> str:
        """Name of the split function."""
        return next(iter(self.split))

    def _with_path(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if "path" not in arguments:
            return dict(arguments)
        return arguments | {"path": self.folder / arguments["path"]}

    def check(self, registry: Path | str | None = None) -> None:
        """Refuse names of datasets, functions, arguments and metrics that do not exist.

        Raises
        ------
        ValueError
            If something does not exist; the nearest names are given.
        """
        where = f"task {self.name!r}"
        self._check_dataset(where, registry)
        _check_arguments(pp.register, self.screen, f"{where}, `screen`")
        for step in self.prepare:
            _check_step(step, f"{where}, `prepare`", splits=False)
        _check_step(self.split, f"{where}, `split`", splits=True)
        if self.subsample:
            _check_arguments(pp.subsample_train, self.subsample, f"{where}, `subsample`")
        if self.scenario not in SCENARIOS:
            raise ValueError(f"{where}: `scenario` {self.scenario!r} must be one of {SCENARIOS}.")
        if self.metrics != DEFAULT_METRICS:
            try:
                compat = self.options.get("compat")
                parse(self.metrics) if compat is None else tool_metrics(compat, self.metrics)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where}: {error.args[0]}") from error
        taken = SET_BY_EVALUATOR & set(self.options)
        if taken:
            raise ValueError(f"{where}: `options` may not set {listed(sorted(taken))}.")
        _check_arguments(evaluate, self.options, f"{where}, `options`")

    def _check_dataset(self, where: str, registry: Path | str | None) -> None:
        if isinstance(self.dataset, str) and self.file is None:
            known = datasets.names(registry=registry)
            if self.dataset not in known:
                raise ValueError(
                    f"{where}: `dataset` {self.dataset!r} is neither an .h5ad file nor a public "
                    f"screen; {nearest(self.dataset, known)}."
                )
        elif isinstance(self.dataset, Mapping):
            if list(self.dataset) != [SIMULATED]:
                raise ValueError(f"{where}: a `dataset` that is made is made by {SIMULATED!r}.")
            made = self.dataset[SIMULATED] or {}
            _check_arguments(datasets.simulate_screen, made, f"{where}, {SIMULATED}")
        if self.file is not None and not self.screen:
            raise ValueError(
                f"{where}: `screen` must hold the arguments of pp.register for {self.dataset}."
            )


def read_tasks(path: Path | str | None = None) -> dict[str, Task]:
    """Tasks by name: those of the package, and before them those of a file of one's own.

    Raises
    ------
    ValueError
        If a task lacks a field, has an unknown one, or one of the wrong type.
    """
    own = {} if path is None else _read(Path(path))
    return own | {name: task for name, task in _read(TASKS).items() if name not in own}


def find_task(tasks: Mapping[str, Task], name: str) -> Task:
    """Task of `name`, or an error that suggests the nearest names."""
    if name not in tasks:
        raise KeyError(f"unknown task {name!r}; {nearest(name, tasks)}.")
    return tasks[name]


def as_task(task: str | Mapping[str, Any] | Task, tasks: Path | str | None = None) -> Task:
    """A task: itself, that of a name, or that of a mapping, whose paths are from here."""
    if isinstance(task, Task):
        return task
    if isinstance(task, str):
        return find_task(read_tasks(tasks), task)
    if not isinstance(task, Mapping):
        raise TypeError(
            "a task is the name of one, or a mapping with its fields, {'name': ..., 'dataset': "
            f"..., 'split': ...}}, not {type(task).__name__}."
        )
    values = {"asks": "", **task}
    if not values.get("name"):
        raise ValueError("a task that is a mapping needs a `name`.")
    return _task(str(values.pop("name")), values, Path())


def tasks_of(path: Path | str) -> list[Task]:
    """The tasks of a YAML file."""
    return list(_read(Path(path)).values())


def _read(path: Path) -> dict[str, Task]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{path} must map names of tasks to tasks.")
    return {str(name): _task(str(name), values, path.parent) for name, values in loaded.items()}


def _task(name: str, values: Any, folder: Path) -> Task:
    if not isinstance(values, Mapping):
        raise ValueError(f"task {name!r} must be a mapping, not {values!r}.")
    known = {f.name for f in fields(Task)} - {"name", "folder"}
    for key in values:
        if key not in known:
            raise ValueError(f"task {name!r} has an unknown field {key!r}; {nearest(key, known)}.")
    missing = [key for key in ("asks", "dataset", "split") if key not in values]
    if missing:
        raise ValueError(f"task {name!r} lacks {listed(missing)}.")
    mappings = ("screen", "keep", "options", "split", "subsample")
    for key, wanted in (dict.fromkeys(mappings, Mapping) | {"prepare": list}).items():
        if key in values and not isinstance(values[key], wanted):
            what = "a list" if wanted is list else "a mapping"
            raise ValueError(f"task {name!r}: `{key}` must be {what}, not {values[key]!r}.")
    return Task(name=name, folder=folder, **values)


def _check_step(step: Any, where: str, *, splits: bool) -> None:
    if not isinstance(step, Mapping) or len(step) != 1:
        raise ValueError(f"{where}: a step is one function with its arguments, not {step!r}.")
    name, arguments = next(iter(step.items()))
    known = [n for n in pp.__all__ if n.startswith(SPLIT) == splits]
    if name not in known:
        raise ValueError(f"{where}: pp has no such step {name!r}; {nearest(name, known)}.")
    if not isinstance(arguments or {}, Mapping):
        raise ValueError(f"{where}: the arguments of {name} must be a mapping, not {arguments!r}.")
    _check_arguments(getattr(pp, name), arguments or {}, f"{where}, {name}")


def _check_arguments(
    function: Callable[..., object], arguments: Mapping[str, Any], where: str
) -> None:
    parameters = inspect.signature(function).parameters
    known = [name for name in parameters if name != "adata"]
    for name in arguments:
        if name not in known:
            raise ValueError(f"{where}: there is no argument {name!r}; {nearest(name, known)}.")
    try:
        inspect.signature(function).bind(*[None] * ("adata" in parameters), **arguments)
    except TypeError as error:
        raise ValueError(f"{where}: {error}.") from error
