"""Load pairs of genes that are known to belong together."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from pertscope._core.messages import listed, nearest
from pertscope.datasets._fetch import cache_folder, fetch

REGISTRY = Path(__file__).with_name("relationships.yaml")
SAMPLE = Path(__file__).with_name("sample_relationships.csv")
ENTITIES = ("entity1", "entity2")


@dataclass(frozen=True)
class Source:
    """One database; the head of ``relationships.yaml`` says what the fields mean."""

    name: str
    citation: str
    license: str
    url: str
    file: str
    checksum: str | None


def relationships(
    name: str | Path, *, cache: Path | str | None = None, progress: bool = True
) -> pd.DataFrame:
    """Load known relationships between genes, downloading them the first time.

    Parameters
    ----------
    name
        ``"reactome"``, ``"humap"``, ``"string"``, ``"corum"`` or ``"signor"``; ``"sample"``, a few
        made-up pairs; or the path of a CSV file with columns ``entity1`` and ``entity2``.
    cache
        Folder of the downloaded files. ``None`` is ``$PERTSCOPE_CACHE`` or, without it, the
        user's cache folder for pertscope. A file put there by hand is used.
    progress
        Show a progress bar while downloading, if tqdm is installed.

    Returns
    -------
    One row per pair, strings ``entity1`` < ``entity2``, sorted: each pair once whatever its order,
    none of a gene with itself. ``.attrs`` holds ``name``, ``license`` and ``citation``. Prints the
    licence of what was downloaded: CORUM and SIGNOR are not for commercial use.

    Raises
    ------
    KeyError
        If the name is none of these and no file, or the file lacks a column.
    ConnectionError
        If the file is not in the cache and cannot be downloaded.
    ValueError
        If the file does not have its checksum, or names are missing.

    References
    ----------
    Celik et al., Building, benchmarking, and exploring perturbative maps of transcriptional and
    morphological data, PLoS Comput. Biol. 20 (2024).

    Examples
    --------
    >>> import pertscope as ps
    >>> ps.datasets.relationships("sample").head(3)
      entity1 entity2
    0      g0      g1
    1      g1      g2
    2      g2      g3
    """
    sources = read_sources()
    if str(name) == "sample":
        return _named(read_pairs(SAMPLE), "sample", "CC0 1.0", "made up")
    if str(name) not in sources:
        if not Path(name).is_file():
            raise KeyError(
                f"no relationships {str(name)!r}, and no such file; "
                f"{nearest(name, [*sources, 'sample'])}."
            )
        return _named(read_pairs(Path(name)), Path(name).stem, "not known", str(name))
    source = sources[str(name)]
    path = fetch(source, cache_folder(cache), progress=progress)
    pairs = read_pairs(path)
    print(f"{source.name}: {len(pairs):,} pairs, licence {source.license}. {source.citation}")
    return _named(pairs, source.name, source.license, source.citation)


@functools.cache
def read_sources() -> dict[str, Source]:
    """Databases by name."""
    entries = yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))
    return {name: Source(name=name, **fields) for name, fields in entries.items()}


def read_pairs(path: Path) -> pd.DataFrame:
    """Pairs of a CSV file with columns ``entity1`` and ``entity2``, each once."""
    found = path.stat()
    return _read_pairs(path, found.st_mtime_ns, found.st_size).copy()


@functools.lru_cache(maxsize=8)
def _read_pairs(path: Path, modified: int, size: int) -> pd.DataFrame:  # noqa: ARG001
    """Read a file again only if it changed: every representation is held against the same."""
    # a gene may be called NA or NaN
    table = pd.read_csv(path, dtype="category", na_filter=False, low_memory=False)
    return unique_pairs(table, str(path))


def unique_pairs(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Each pair of different entities once, whatever its order, ``entity1 < entity2``, sorted.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If a name is missing.
    """
    missing = [c for c in ENTITIES if c not in table.columns]
    if missing:
        raise KeyError(f"{what} has no column {listed(missing)}; {nearest('entity', table)}.")
    columns = [table[c].astype("category").cat for c in ENTITIES]
    each = [np.array([str(name) for name in c.categories], dtype=object) for c in columns]
    lost = np.array(
        [  # -1: missing
            (c.codes < 0) | np.isin(c.codes, np.flatnonzero(own == ""))
            for c, own in zip(columns, each, strict=True)
        ]
    ).any(axis=0)
    if lost.any():
        raise ValueError(f"{what} lacks a name in {int(lost.sum())} row(s).")
    names, rank = np.unique(np.concatenate(each), return_inverse=True)
    one, other = rank[columns[0].codes], rank[len(each[0]) :][columns[1].codes]
    a, b = np.minimum(one, other), np.maximum(one, other)
    packed = np.sort((a * len(names) + b)[a != b])
    packed = packed[np.diff(packed, prepend=-1) > 0]
    return pd.DataFrame(
        {
            ENTITIES[0]: names[packed // max(1, len(names))],
            ENTITIES[1]: names[packed % max(1, len(names))],
        }
    )


def _named(pairs: pd.DataFrame, name: str, license_name: str, citation: str) -> pd.DataFrame:
    pairs.attrs = {"name": name, "license": license_name, "citation": citation}
    return pairs
