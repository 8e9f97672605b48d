"""Tables that judgements of representations left in a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.messages import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData


def judged_table(
    adata: AnnData, key: str, *, function: str, columns: Sequence[str]
) -> pd.DataFrame:
    """``.uns[key]``, which ``ps.ev.<function>`` wrote.

    Raises
    ------
    KeyError
        If there is none.
    ValueError
        If it is empty, or lacks one of the columns.
    """
    if key not in adata.uns:
        known = nearest(key, adata.uns) if len(adata.uns) else "it is empty"
        raise KeyError(f"`.uns` has no {key!r}: call `ps.ev.{function}` first; {known}.")
    table = adata.uns[key]
    missing = [c for c in columns if c not in getattr(table, "columns", ())]
    if missing:
        raise ValueError(
            f"`.uns[{key!r}]` has no column {listed(missing)}: it is no table of "
            f"`ps.ev.{function}`."
        )
    if table.empty:
        raise ValueError(f"`.uns[{key!r}]` is empty: call `ps.ev.{function}` again.")
    return table
