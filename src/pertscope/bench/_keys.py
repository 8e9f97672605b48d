"""What a result is of, in a few letters: content in, hash out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from pertscope._core import keys
from pertscope.datasets._registry import read_registry

if TYPE_CHECKING:
    from pertscope.bench._models import ModelSpec
    from pertscope.ev._tasks import Task

LENGTH = 16


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


def _dataset(task: Task, registry: Path | str | None) -> Any:
    if task.file is not None:
        return _file(task.file)
    if isinstance(task.dataset, ad.AnnData):
        screen = task.dataset.uns.get(keys.UNS, {}).get(keys.SCREEN)
        return [_anndata(task.dataset), None if screen is None else dict(screen)]
    if isinstance(task.dataset, str):
        return [task.dataset, read_registry(registry)[task.dataset].checksum]
    return task.dataset


def _content(arguments: dict[str, Any]) -> dict[str, Any]:
    return {k: _file(v) if isinstance(v, Path) else v for k, v in arguments.items()}


def _file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _anndata(adata: ad.AnnData) -> str:
    """Hash of matrices, annotation of cells, and names of genes."""
    found = hashlib.sha256()
    for x in (adata.X, *(adata.layers[k] for k in sorted(adata.layers))):
        arrays = (x.data, x.indices, x.indptr) if sp.issparse(x) else (np.asarray(x),)
        for array in arrays:
            found.update(f"{array.dtype}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
    found.update(pd.util.hash_pandas_object(adata.obs).to_numpy().tobytes())
    found.update(json.dumps([*adata.obs.columns, *adata.var_names]).encode())
    return found.hexdigest()
