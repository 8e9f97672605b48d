"""Read and check the list of public screens."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REGISTRY = Path(__file__).with_name("registry.yaml")
CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One public screen; the head of ``registry.yaml`` says what the fields mean."""

    name: str
    description: str
    citation: str
    doi: str | None
    license: str
    url: str
    file: str
    checksum: str | None
    size: int | None
    shape: list[int | None]
    matrix: str
    screen: dict[str, Any]
    rules: list[dict[str, Any]]

    def __post_init__(self) -> None:
        where = f"dataset {self.name!r} of the registry"
        if not str(self.url).startswith("https://"):
            raise ValueError(f"{where}: `url` must start with https://, got {self.url!r}.")
        if self.checksum is not None and not CHECKSUM.fullmatch(str(self.checksum)):
            raise ValueError(
                f"{where}: `checksum` must be md5:<32 hex digits>, sha256:<64 hex digits> or null, "
                f"got {self.checksum!r}."
            )
        if Path(self.file).name != self.file or not self.file.endswith((".h5ad", ".h5ad.gz")):
            raise ValueError(
                f"{where}: `file` must be a file name ending in .h5ad or .h5ad.gz, "
                f"got {self.file!r}."
            )
        missing = {"perturbation_key", "control", "covariate_keys"} - set(self.screen)
        if missing:
            raise ValueError(f"{where}: `screen` lacks {sorted(missing)}.")


def read_registry(path: Path | str | None = None) -> dict[str, Entry]:
    """Entries by name.

    Parameters
    ----------
    path
        Another registry in the same format; ``None`` is the one of the package.

    Raises
    ------
    ValueError
        If an entry lacks a field, has an unknown one, or holds a malformed value.
    """
    loaded = yaml.safe_load(Path(path or REGISTRY).read_text(encoding="utf-8"))
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{path or REGISTRY} must map dataset names to entries.")
    fields = set(Entry.__dataclass_fields__) - {"name"}
    entries = {}
    for name, values in loaded.items():
        if set(values) != fields:
            raise ValueError(
                f"dataset {name!r} of the registry: missing {sorted(fields - set(values))}, "
                f"unknown {sorted(set(values) - fields)}."
            )
        entries[str(name)] = Entry(name=str(name), **values)
    return entries


def find_entry(entries: Mapping[str, Entry], name: str) -> Entry:
    """Entry of `name`, or an error that suggests the nearest names."""
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(str(name).lower(), entries, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise KeyError(f"unknown dataset {name!r}: {hint}Known: {', '.join(sorted(entries))}.")
