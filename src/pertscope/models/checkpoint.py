"""The state of an unfinished training on disk: JSON and plain arrays, which hold no code."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pertscope.models.files import read_model, replaced, write_model

if TYPE_CHECKING:
    from pathlib import Path

ARRAY, PAIRS = "__array__", "__pairs__"


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state, and what it must agree with to go on.

    Attributes
    ----------
    folder
        Folder of its own.
    identity
        What decides the training: settings, data, arguments.
    seconds
        Time between two writes.
    """

    folder: Path
    identity: dict[str, Any]
    seconds: float

    def read(self) -> dict[str, Any] | None:
        """State to go on from; ``None`` where there is none yet.

        Raises
        ------
        ValueError
            If the folder holds the state of another training.
        """
        old = replaced(self.folder)
        if not self._is_there() and old.exists():  # it was killed while one took the other's place
            old.rename(self.folder)
        if not self._is_there():
            return None
        entry, arrays = read_model(self.folder)
        there = entry.get("identity", {})
        here = json.loads(json.dumps(self.identity, default=lambda number: number.item()))
        other = sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))
        if other:
            told = ", ".join(f"{k} ({there.get(k)!r}, now {here.get(k)!r})" for k in other)
            raise ValueError(
                f"{self.folder} holds the checkpoint of another training, which differs in {told}: "
                "name another folder, or remove it."
            )
        return _unpacked(entry["state"], arrays)

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state that is kept, whole or not at all."""
        arrays: dict[str, np.ndarray] = {}
        entry = {"identity": self.identity, "state": _packed(state, arrays)}
        write_model(self.folder, entry, arrays, overwrite=True)

    def remove(self) -> None:
        """Forget the state: the training ended."""
        unfinished = self.folder.parent.glob(f".{self.folder.name}.*")
        for folder in (self.folder, *unfinished):
            shutil.rmtree(folder, ignore_errors=True)

    def _is_there(self) -> bool:
        return self.folder.exists() and not (
            self.folder.is_dir() and not any(self.folder.iterdir())
        )


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The same as JSON holds it, tensors put into `arrays`."""
    if isinstance(value, torch.Tensor):
        name = f"a{len(arrays)}"
        arrays[name] = value.detach().cpu().numpy()
        return {ARRAY: name}
    if isinstance(value, dict):  # also with keys that are numbers
        return {PAIRS: [[k, _packed(v, arrays)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_packed(v, arrays) for v in value]
    return value


def _unpacked(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpacked(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return torch.from_numpy(arrays[value[ARRAY]])
    return {k: _unpacked(v, arrays) for k, v in value[PAIRS]}


def digest(*parts: Any) -> str:
    """Short name of what these hold."""
    state = hashlib.sha256()
    for part in parts:
        values = part.tobytes() if isinstance(part, np.ndarray) else json.dumps(part).encode()
        state.update(values)
    return state.hexdigest()[:16]
