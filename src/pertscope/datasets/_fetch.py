"""Keep downloaded files in a cache, checked against their checksums."""

from __future__ import annotations

import gzip
import importlib.util
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Protocol

CACHE_VARIABLE = "PERTSCOPE_CACHE"


class Download(Protocol):
    """What is said of a file: an entry of one of the registries."""

    @property
    def name(self) -> str:
        """Name of the dataset."""

    @property
    def url(self) -> str:
        """Where it is."""

    @property
    def file(self) -> str:
        """Its name in the cache."""

    @property
    def checksum(self) -> str | None:
        """``"md5:..."`` or ``"sha256:..."``, or ``None`` where none is known."""


def cache_folder(cache: Path | str | None = None) -> Path:
    """`cache`, else ``$PERTSCOPE_CACHE``, else the user's cache folder for pertscope."""
    import pooch

    return Path(cache or os.environ.get(CACHE_VARIABLE) or pooch.os_cache("pertscope")).expanduser()


def fetch(entry: Download, folder: Path, *, progress: bool) -> Path:
    """Path of the entry's file, downloaded, checked and unpacked if need be.

    Raises
    ------
    ConnectionError
        If the file is not in the cache and cannot be downloaded.
    ValueError
        If the file does not have the checksum of the registry.
    """
    path = folder / entry.file
    unpacked = path.with_suffix("") if path.suffix == ".gz" else path
    if unpacked.exists() and not path.exists():
        warnings.warn(
            f"{unpacked} is used as it is: the registry's checksum is that of {path.name}, "
            "which is not in the cache.",
            UserWarning,
            stacklevel=4,
        )
        return unpacked
    if not path.exists():
        _download(entry, path, progress=progress)
    _verify(entry, path)
    if unpacked != path and not _is_newer(unpacked, path):
        _unpack(path, unpacked)
    return unpacked


def _download(entry: Download, path: Path, *, progress: bool) -> None:
    """Download to `path`; it appears there only when complete."""
    import pooch

    bar = progress and importlib.util.find_spec("tqdm") is not None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
            arrived = pooch.retrieve(
                entry.url,
                known_hash=None,  # checked by _verify, which knows what to advise
                fname=path.name,
                path=temporary,
                downloader=pooch.HTTPDownloader(progressbar=bar, timeout=60),
            )
            Path(arrived).replace(path)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        raise ConnectionError(
            f"dataset {entry.name!r} could not be downloaded from {entry.url} ({error}). "
            f"Without internet, download it elsewhere and save it as {path}; "
            f"${CACHE_VARIABLE} sets another cache folder."
        ) from error


def _verify(entry: Download, path: Path) -> None:
    """Compare the file with the registry's checksum."""
    import pooch

    if entry.checksum is None:
        found = pooch.file_hash(str(path), alg="sha256")
        warnings.warn(
            f"the content of dataset {entry.name!r} ({path}) is not verified, because no checksum "
            f"is known for it; it has sha256:{found}.",
            UserWarning,
            stacklevel=5,
        )
        return
    algorithm, expected = entry.checksum.split(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    if found != expected:
        raise ValueError(
            f"{path} has {algorithm}:{found}, but dataset {entry.name!r} has "
            f"{entry.checksum}: the file is damaged, incomplete or another version. "
            f"Remove it and load again, or put the file from {entry.url} there."
        )


def _is_newer(unpacked: Path, packed: Path) -> bool:
    return unpacked.exists() and unpacked.stat().st_mtime >= packed.stat().st_mtime


def _unpack(packed: Path, unpacked: Path) -> None:
    """Unpack a ``.gz``; the result appears only when complete."""
    partial = unpacked.with_name(unpacked.name + ".part")
    with gzip.open(packed, "rb") as source, partial.open("wb") as target:
        shutil.copyfileobj(source, target, 16 * 2**20)
    partial.replace(unpacked)
