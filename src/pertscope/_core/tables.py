"""Tables of vectors by name, made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pertscope._core.messages import listed


def read_table(table: Any) -> pd.DataFrame:
    """Vectors, one per row under its name, from whatever holds them.

    A DataFrame; an AnnData, whose ``.X`` is taken; or a file: ``.csv`` and ``.tsv`` (names in the
    first column), ``.parquet``, ``.h5ad``, or ``.npz`` with the arrays ``names`` and ``vectors``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is of another kind.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if type(table).__name__ == "AnnData":
        return table.to_df()
    path = Path(table)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}.")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        read = pd.read_csv(path, sep="\t" if suffix == ".tsv" else ",", converters={0: str})
        named = not isinstance(read.index, pd.RangeIndex)  # the header lacks the column of names
        return read if named else read.set_index(read.columns[0]).rename_axis(None)
    if suffix == ".parquet":
        return pd.read_parquet(path)
    if suffix == ".h5ad":
        from anndata import read_h5ad

        return read_h5ad(path).to_df()
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as stored:
            if {"names", "vectors"} - set(stored.files):
                raise ValueError(
                    f"{path} must hold the arrays 'names' and 'vectors', it holds {stored.files}."
                )
            names, vectors = stored["names"], stored["vectors"]
        if len(names) != len(vectors):
            raise ValueError(f"{path} holds {len(names)} names and {len(vectors)} vectors.")
        return pd.DataFrame(vectors, index=names.astype(str))
    raise ValueError(f"{path}: read csv, tsv, parquet, h5ad or npz, not {suffix!r}.")


def checked_table(table: pd.DataFrame) -> pd.DataFrame:
    """The same in float32, rows and columns named by strings.

    Raises
    ------
    ValueError
        If values are no finite numbers, there are none, or names occur twice.
    """
    try:
        vectors = table.to_numpy(np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError("the table must hold numbers alone, names in its index.") from error
    if vectors.size == 0:
        raise ValueError(f"the table is empty: {table.shape}.")
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{bad.sum()} row(s) hold NaN or infinite values: {listed(table.index[bad])}."
        )
    names = table.index.astype(str)
    twice = names[names.duplicated()].unique()
    if len(twice):
        raise ValueError(f"{len(twice)} name(s) occur more than once: {listed(twice)}.")
    return pd.DataFrame(vectors, index=names, columns=[str(c) for c in table.columns])
