"""Models on disk: JSON and plain arrays, neither of which can hold code."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    import os

FORMAT_VERSION = 2
JSON, ARRAYS = "model.json", "arrays.npz"


def write_model(
    path: str | os.PathLike[str],
    entry: dict[str, Any],
    arrays: dict[str, np.ndarray],
    *,
    overwrite: bool,
) -> None:
    """Write a model to a folder, whole or not at all."""
    folder = Path(path)
    there = {f.name for f in folder.iterdir()} if folder.is_dir() else set()
    if folder.is_file() or there - {JSON, ARRAYS}:
        raise FileExistsError(
            f"{folder} holds something other than a model: choose another folder."
        )
    if there and not overwrite:
        raise FileExistsError(f"{folder} holds a model: pass `overwrite=True` to replace it.")
    entry = {"format_version": FORMAT_VERSION} | entry
    text = json.dumps(entry, indent=1, default=lambda number: number.item())  # NumPy's numbers
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    unfinished.mkdir()
    (unfinished / JSON).write_text(text, encoding="utf-8")
    np.savez(unfinished / ARRAYS, **cast("dict[str, Any]", arrays))
    if not folder.is_dir():
        unfinished.rename(folder)
        return
    old = replaced(folder)
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    unfinished.rename(folder)
    shutil.rmtree(old)


def replaced(folder: Path) -> Path:
    """Where the model that is being replaced lies meanwhile."""
    return folder.with_name(f".{folder.name}.old")


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what :func:`write_model` wrote, refusing pickles and other versions."""
    folder = Path(path)
    if not (folder / JSON).is_file():
        raise FileNotFoundError(f"{folder} holds no model: there is no {JSON}.")
    entry = json.loads((folder / JSON).read_text(encoding="utf-8"))
    version = entry.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{folder} was written in model format {version}, this pertscope reads format "
            f"{FORMAT_VERSION}."
        )
    with np.load(folder / ARRAYS, allow_pickle=False) as stored:
        return entry, {k: stored[k] for k in stored.files}
