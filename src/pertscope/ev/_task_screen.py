"""The screen of a task: read, prepared, split."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np

from pertscope import datasets, pp
from pertscope._core import keys
from pertscope._core.messages import listed, nearest
from pertscope._core.screen import Screen
from pertscope.ev._judge import progress

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from pertscope.ev._tasks import Task


def prepared_screen(
    task: Task, *, cache: Path | str | None = None, registry: Path | str | None = None
) -> AnnData:
    """Read and register the screen of a task, and do all that comes before the split."""
    with warnings.catch_warnings():  # names that occur twice are made unique below
        warnings.filterwarnings("ignore", ".* names are not unique", UserWarning)
        adata, screen_keys = _read(task, cache, registry)
        screen_keys = {**screen_keys, **task.screen}
        adata = _keep(adata, task, screen_keys)
    if isinstance(task.dataset, ad.AnnData) and not task.keep:
        adata = adata.copy()
    adata.obs_names_make_unique()
    adata.var_names_make_unique()
    pp.register(adata, **screen_keys)
    with progress(len(task.prepare_steps), f"preparing {task.name}") as step:
        for name, arguments in task.prepare_steps:
            getattr(pp, name)(adata, **arguments)
            step(name)
    return adata


def draw_split(adata: AnnData, task: Task, seed: int | None = None) -> None:
    """Split a prepared screen; `seed` goes before the seeds of the task."""
    for name, arguments in task.split_steps(seed):
        getattr(pp, name)(adata, **arguments)


def light(screen: AnnData) -> AnnData:
    """The same cells and genes without predictions or scores; the matrix is shared.

    So is what networks take beside it: representations of cells, embeddings of perturbations.
    """
    made = ad.AnnData(X=screen.X, obs=screen.obs, var=screen.var[[]], obsm=dict(screen.obsm))
    for layer in (Screen.of(screen).layer, keys.CONTROL_MEAN):
        if layer in screen.layers:
            made.layers[layer] = screen.layers[layer]
    Screen.of(screen).write(made)
    embeddings = screen.uns[keys.UNS].get(keys.PERTURBATION_EMBEDDINGS)
    if embeddings:
        made.uns[keys.UNS][keys.PERTURBATION_EMBEDDINGS] = dict(embeddings)
    return made


def _read(
    task: Task, cache: Path | str | None, registry: Path | str | None
) -> tuple[AnnData, dict[str, Any]]:
    """The screen as it lies, and what is known of its columns."""
    if task.file is not None:
        return ad.read_h5ad(task.file), {}
    if isinstance(task.dataset, ad.AnnData):
        return task.dataset, {} if task.screen else _registered(task.dataset)
    if isinstance(task.dataset, Mapping):
        made = next(iter(task.dataset.values())) or {}
        return datasets.simulate_screen(**made), {}
    adata = datasets.load(task.dataset, cache=cache, registry=registry)
    return adata, adata.uns["screen_keys"]


def _registered(adata: AnnData) -> dict[str, Any]:
    """Arguments of ``pp.register`` under which a screen was registered."""
    entry = asdict(Screen.of(adata))
    del entry["schema_version"]
    return entry


def _keep(adata: AnnData, task: Task, screen_keys: Mapping[str, Any]) -> AnnData:
    """Leave out the perturbed cells that the task does not use."""
    if not task.keep:
        return adata
    kept = np.ones(adata.n_obs, dtype=bool)
    for column, labels in task.keep.items():
        if column not in adata.obs:
            raise KeyError(
                f"task {task.name!r}, `keep`: `.obs` has no column {column!r}; "
                f"{nearest(column, adata.obs.columns)}."
            )
        kept &= adata.obs[column].isin(labels).to_numpy()
    if not kept.any():
        found = {column: listed(adata.obs[column].unique()) for column in task.keep}
        raise ValueError(f"task {task.name!r}: `keep` {task.keep} leaves no cells; found {found}.")
    labels = adata.obs[screen_keys.get("perturbation_key", Screen.perturbation_key)]
    kept |= (labels == screen_keys.get("control", Screen.control)).to_numpy()
    return adata[kept].copy()
