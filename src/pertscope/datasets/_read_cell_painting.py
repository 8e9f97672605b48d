"""Tables of image-based profiling, as Cell Painting pipelines write them, to AnnData."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core.messages import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

NAME_COLUMNS = ("Plate", "Well")
NUMBERS = ("dose", "conc", "_per_", "count")
"""What names of columns of numbers contain: ``Metadata_mmoles_per_liter``."""

NO_NUMBER = ("NA", "N/A", "NaN", "nan", "None", "NULL", "null")
"""How a missing number is written, beside an empty cell."""


def read_cell_painting(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    metadata_prefix: str = "Metadata_",
) -> AnnData:
    r"""Read profiles from one table or several, such as one per plate.

    Columns whose names start with `metadata_prefix` describe the rows, the others are features.

    Parameters
    ----------
    paths
        Files ``.csv``, ``.csv.gz``, ``.tsv`` or ``.parquet``, one row per well (or cell).
    metadata_prefix
        How names of columns start that are no features.

    Returns
    -------
    AnnData ``(rows, features)``, float32, NaN where a value is missing. ``.obs`` holds the columns
    of `metadata_prefix` under their full names. In ``.csv`` and ``.tsv`` they are labels, kept as
    they are written: plate ``001`` and drug ``None`` stay, only an empty cell is missing. Columns
    of doses, concentrations and counts (their names contain ``dose``, ``conc``, ``_per_`` or
    ``count``) are numbers if all they hold is; a ``.parquet`` says itself what is a number. Rows
    are named ``"plate_well"`` where ``Plate`` and ``Well`` name each once, or else numbered. It is
    not registered yet.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If there is no file, a file is of another kind, has no column of `metadata_prefix` or no
        feature, a feature is not numeric, or files share no feature.

    Warns
    -----
    UserWarning
        If files hold different features: only what all of them hold is kept.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pertscope as ps
    >>> table = "Metadata_Plate,Metadata_Well,Metadata_drug,Cells_Area\nP1,A1,DMSO,3.5\nP1,A2,X,4"
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "plate.csv")
    ...     n = path.write_text(table)
    ...     adata = ps.datasets.read_cell_painting(path)
    >>> adata.obs_names.tolist(), adata.var_names.tolist()
    (['P1_A1', 'P1_A2'], ['Cells_Area'])
    """
    from anndata import AnnData

    files = [Path(p) for p in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not files:
        raise ValueError("`paths` names no file.")
    tables = [_read(path, metadata_prefix) for path in files]
    shared = _shared_features(tables, files, metadata_prefix)
    obs = pd.concat(
        [t.loc[:, [c for c in t.columns if c.startswith(metadata_prefix)]] for t in tables],
        ignore_index=True,
    )
    for column in obs.columns[[not pd.api.types.is_numeric_dtype(t) for t in obs.dtypes]]:
        obs[column] = _numbers_or_labels(obs[column])
    obs.index = _row_names(obs, metadata_prefix)
    x = np.concatenate([t[shared].to_numpy(np.float32) for t in tables])
    return AnnData(x, obs=obs, var=pd.DataFrame(index=shared))


def _read(path: Path, prefix: str) -> pd.DataFrame:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}.")
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind in {"csv", "tsv"}:
        sep = "," if kind == "csv" else "\t"
        names = pd.read_csv(path, sep=sep, nrows=0).columns
        as_written = {c: _text for c in names if c.startswith(prefix)}
        return pd.read_csv(path, sep=sep, low_memory=False, converters=as_written)
    if kind == "parquet":
        return pd.read_parquet(path)
    raise ValueError(f"{path}: read csv, tsv or parquet, not {path.suffix!r}.")


def _text(cell: str) -> str | None:
    return cell or None


def _numbers_or_labels(column: pd.Series) -> pd.Series | pd.Categorical:
    """Doses and the like as numbers if all of them are, anything else as labels."""
    if any(word in str(column.name).lower() for word in NUMBERS):
        given = column.mask(column.isin(NO_NUMBER))
        numbers = pd.to_numeric(given, errors="coerce")
        if numbers.notna().equals(given.notna()):
            return numbers
    return pd.Categorical(column.where(column.isna(), column.astype(str)))


def _shared_features(tables: list[pd.DataFrame], files: list[Path], prefix: str) -> list[str]:
    """Features of all tables, in the order of the first."""
    of_file = [_features(t, path, prefix) for t, path in zip(tables, files, strict=True)]
    in_all = set.intersection(*map(set, of_file))
    shared = [c for c in of_file[0] if c in in_all]
    if not shared:
        raise ValueError(f"the {len(files)} files share no feature.")
    dropped = sorted(set().union(*of_file) - in_all)
    if dropped:
        warnings.warn(
            f"{len(dropped)} feature(s) are not in every file and were left out: "
            f"{listed(dropped)}.",
            UserWarning,
            stacklevel=3,
        )
    return shared


def _features(table: pd.DataFrame, path: Path, prefix: str) -> list[str]:
    features = [c for c in table.columns if not c.startswith(prefix)]
    if len(features) == len(table.columns):
        raise ValueError(f"{path} has no column {prefix}...; it has {listed(table.columns)}.")
    if not features:
        raise ValueError(f"{path} has no feature: every column is {prefix}...")
    text = [c for c in features if not pd.api.types.is_numeric_dtype(table[c].dtype)]
    if text:
        raise ValueError(f"{path}: {len(text)} feature(s) are not numeric: {listed(text)}.")
    return features


def _row_names(obs: pd.DataFrame, prefix: str) -> pd.Index:
    columns = [f"{prefix}{name}" for name in NAME_COLUMNS]
    if set(columns) <= set(obs.columns):
        names = pd.Index(obs[columns].astype(str).agg("_".join, axis=1), dtype=object)
        if names.is_unique:
            return names
    return pd.Index(np.arange(len(obs)).astype(str), dtype=object)
