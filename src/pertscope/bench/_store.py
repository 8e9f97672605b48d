"""A folder of results: one small file each, whole or not there, shared by processes."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDING, LOCK = ".json", ".lock"


def result_path(folder: Path, key: str) -> Path:
    """File of a result."""
    return folder / f"{key}{ENDING}"


def read_result(folder: Path, key: str) -> dict[str, Any] | None:
    """A result, or nothing where there is none yet."""
    try:
        return json.loads(result_path(folder, key).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All results of a folder, the oldest first.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it holds no results.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder} of results.")
    found = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob(f"*{ENDING}"))]
    if not found:
        raise FileNotFoundError(f"{folder} holds no results: call `ps.bench.run` first.")
    return sorted(found, key=lambda result: result["finished"])


def write_result(folder: Path, key: str, result: dict[str, Any]) -> None:
    """Write a result at once: whoever reads it meets the whole or nothing."""
    text = json.dumps(result, indent=1, default=str)
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{key}", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(result_path(folder, key))
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def claimed(folder: Path, key: str) -> Iterator[bool]:
    """Claim a result for this process; false where another one works on it.

    The system ends a claim with the process that holds it, however that ends.
    """
    try:
        import fcntl
    except ImportError:  # Windows: work may be done twice, results are the same
        yield True
        return
    path = folder / f".{key}{LOCK}"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            path.unlink(missing_ok=True)
