"""What every builder of an embedding needs: its names checked, its table made."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pandas as pd

from pertscope._core.messages import listed
from pertscope._core.tables import checked_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np


def embedding_table(
    names: Iterable[str], vectors: np.ndarray, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Vectors under their names, float32 ``(names, dimensions)``.

    Raises
    ------
    TypeError
        If `names` is one string.
    ValueError
        If there are not as many names as vectors, names occur twice, or values are not finite.
    """
    if isinstance(names, str):
        raise TypeError(f"`names`={names!r} must be a list of names, not one string.")
    names = list(names)
    if len(names) != len(vectors):
        raise ValueError(f"there are {len(names)} names and {len(vectors)} vectors.")
    return checked_table(pd.DataFrame(vectors, index=names, columns=columns))


def check_n_dims(n_dims: int, most: int | None = None, why: str = "") -> None:
    """Raise unless `n_dims` is a whole number from 1 to `most`."""
    if isinstance(n_dims, bool) or int(n_dims) != n_dims or n_dims < 1:
        raise ValueError(f"`n_dims`={n_dims} must be a whole number of at least 1.")
    if most is not None and n_dims > most:
        raise ValueError(f"`n_dims`={n_dims} must be at most {most}: {why}.")


def tell_left_out(names: Iterable[object], why: str) -> None:
    """Warn of names that get no row: models then know nothing of them, and say so."""
    lost = list(names)
    if lost:
        warnings.warn(f"{len(lost)} name(s) get no row, {why}: {listed(lost)}.", stacklevel=3)
