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
from pertscope.ev._evaluate import evaluate
from pertscope.ev._metrics import parse

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = Path(__file__).with_name("tasks.yaml")
SPLIT = "split_"
"""How the names of the functions of ``pp`` begin that split."""

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
    dataset: str
    split: dict[str, dict[str, Any]]
    folder: Path
    screen: dict[str, Any] = field(default_factory=dict)
    keep: dict[str, list[Any]] = field(default_factory=dict)
    prepare: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    metrics: list[str] | str = DEFAULT_METRICS
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path | None:
        """The file of a screen of one's own; ``None`` for a public one."""
        return self.folder / self.dataset if self.dataset.endswith(".h5ad") else None

    @property
    def steps(self) -> list[tuple[str, dict[str, Any]]]:
        """Functions of ``pp`` with their arguments, the split last."""
        steps = [(k, v or {}) for step in [*self.prepare, self.split] for k, v in step.items()]
        return [(k, self._with_path(v)) for k, v in steps]

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
        if self.file is None and self.dataset not in (known := datasets.names(registry=registry)):
            raise ValueError(
                f"{where}: `dataset` {self.dataset!r} is neither an .h5ad file nor a public "
                f"screen; {nearest(self.dataset, known)}."
            )
        if self.file is not None and not self.screen:
            raise ValueError(
                f"{where}: `screen` must hold the arguments of pp.register for {self.dataset}."
            )
        _check_arguments(pp.register, self.screen, f"{where}, `screen`")
        for step in self.prepare:
            _check_step(step, f"{where}, `prepare`", splits=False)
        _check_step(self.split, f"{where}, `split`", splits=True)
        if self.metrics != DEFAULT_METRICS:
            try:
                parse(self.metrics)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where}: {error.args[0]}") from error
        taken = SET_BY_EVALUATOR & set(self.options)
        if taken:
            raise ValueError(f"{where}: `options` may not set {listed(sorted(taken))}.")
        _check_arguments(evaluate, self.options, f"{where}, `options`")


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
    types = {"screen": Mapping, "keep": Mapping, "options": Mapping, "split": Mapping}
    for key, wanted in (types | {"prepare": list}).items():
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
    known = [name for name in inspect.signature(function).parameters if name != "adata"]
    for name in arguments:
        if name not in known:
            raise ValueError(f"{where}: there is no argument {name!r}; {nearest(name, known)}.")
    try:
        inspect.signature(function).bind(None, **arguments)
    except TypeError as error:
        raise ValueError(f"{where}: {error}.") from error
