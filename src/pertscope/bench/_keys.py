"""What a result is of, in a few letters: content in, hash out."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from pertscope._core import keys
from pertscope._core.perturbation_embedding import read_embedding
from pertscope.datasets._registry import read_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pertscope.bench._models import ModelSpec
    from pertscope.ev._tasks import Task

LENGTH = 16
USE_REP, EMBEDDING = "use_rep", "perturbation_embedding"
FILES = ("source", "table")
"""Arguments of steps that, as strings, name a file; others come as a path."""


def hash_of(value: Any) -> str:
    """Hash of what JSON can hold."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def task_definition(task: Task, *, registry: Path | str | None = None) -> dict[str, Any]:
    """Everything that a task's scores depend on; files and AnnData stand for their content."""
    return {
        "name": task.name,
        "dataset": _dataset(task, registry),
        "screen": task.screen,
        "keep": task.keep,
        "steps": [[name, _content(arguments)] for name, arguments in task.steps],
        "metrics": task.metrics,
        "options": task.options,
    }


def model_definition(spec: ModelSpec, seed: int) -> dict[str, Any]:
    """Everything that a model's prediction depends on, but for screen and seed."""
    made = spec.prediction_of(seed)
    if made is None:
        return {"model": spec.model, "settings": spec.settings}
    return {"prediction": _file(made) if isinstance(made, Path) else _anndata(made)}


def input_definition(task: Task, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a model takes of a screen in memory beside its matrix: named representation, embedding.

    Nothing where the screen has no such entry: then a step of the task makes it.
    """
    if not isinstance(task.dataset, ad.AnnData):
        return {}
    found: dict[str, Any] = {}
    rep = settings.get(USE_REP)
    if rep in task.dataset.obsm:
        found[USE_REP] = _matrix(task.dataset.obsm[rep])
    named = settings.get(EMBEDDING)
    for name in named if isinstance(named, list | tuple) else [] if named is None else [named]:
        with contextlib.suppress(KeyError):
            held = read_embedding(task.dataset, name)
            vectors = [hash_of([held.names, held.combine]), _matrix(held.vectors)]
            found.setdefault(EMBEDDING, {})[name] = vectors
    return {"inputs": found} if found else {}


def _dataset(task: Task, registry: Path | str | None) -> Any:
    if task.file is not None:
        return _file(task.file)
    if isinstance(task.dataset, ad.AnnData):
        screen = task.dataset.uns.get(keys.UNS, {}).get(keys.SCREEN)
        used = [arguments[USE_REP] for _, arguments in task.steps if USE_REP in arguments]
        return [_anndata(task.dataset, *used), None if screen is None else dict(screen)]
    if isinstance(task.dataset, str):
        return [task.dataset, read_registry(registry)[task.dataset].checksum]
    return task.dataset


def _content(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a step, where files, tables and AnnData stand for their content."""

    def of(name: str, value: Any) -> Any:
        if isinstance(value, Path) or (name in FILES and isinstance(value, str)):
            return _file(Path(value))
        if isinstance(value, ad.AnnData):
            return _anndata(value, arguments.get(USE_REP))
        return _matrix(value) if isinstance(value, pd.DataFrame) else value

    return {name: of(name, value) for name, value in arguments.items()}


def _file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _matrix(x: Any) -> str:
    """Hash of a matrix or table."""
    found = hashlib.sha256()
    for part in _parts(x):
        found.update(part)
    return found.hexdigest()


def _parts(x: Any) -> Iterator[bytes]:
    if isinstance(x, pd.DataFrame):
        yield json.dumps([str(c) for c in x.columns]).encode()
        x = pd.util.hash_pandas_object(x).to_numpy()
    arrays = (x.data, x.indices, x.indptr) if sp.issparse(x) else (np.asarray(x),)
    for array in arrays:
        yield f"{array.dtype}{array.shape}".encode()
        yield np.ascontiguousarray(array).tobytes()


def _anndata(adata: ad.AnnData, *obsm: str | None) -> str:
    """Hash of matrices, named representations, annotation of cells, and names of genes."""
    found = hashlib.sha256()
    layers = [adata.layers[k] for k in sorted(adata.layers)]
    for x in (adata.X, *layers, *(adata.obsm[k] for k in obsm if k in adata.obsm)):
        for part in _parts(x):
            found.update(part)
    found.update(pd.util.hash_pandas_object(adata.obs).to_numpy().tobytes())
    found.update(json.dumps([*adata.obs.columns, *adata.var_names]).encode())
    return found.hexdigest()
