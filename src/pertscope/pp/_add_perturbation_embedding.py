"""Keep vectors of perturbations in a screen, to predict from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import check_key
from pertscope._core.messages import listed
from pertscope._core.perturbation_embedding import COMBINE, write_embedding
from pertscope._core.screen import Screen, require_actual
from pertscope._core.tables import checked_table, read_table

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from anndata import AnnData

MISSING = ("keep", "mean")


def add_perturbation_embedding(
    adata: AnnData,
    table: pd.DataFrame | AnnData | str | os.PathLike[str],
    name: str,
    *,
    alias: Mapping[str, str] | None = None,
    combine: str = "sum",
    missing: str = "keep",
) -> None:
    """Keep an embedding of perturbations in a screen: one vector per gene or compound.

    Networks take it as ``perturbation_embedding=name`` in place of one-hot perturbations, and then
    predict every perturbation that has a row, seen or not. Prints how many of the screen's
    perturbations have one.

    Parameters
    ----------
    adata
        Registered screen.
    table
        Vectors, perturbations in rows: a DataFrame; an AnnData, whose ``.X`` is taken; or a file,
        ``.csv`` and ``.tsv`` (names in the first column), ``.parquet``, ``.h5ad``, or ``.npz`` with
        the arrays ``names`` and ``vectors``.
    name
        Name to keep it under.
    alias
        Name in the screen -> name in the table, where they differ: symbols and Ensembl ids, say.
    combine
        What the vectors of a combination become: their ``"sum"`` or their ``"mean"``.
    missing
        ``"keep"`` leaves the screen's perturbations without a row as they are: models refuse them.
        ``"mean"`` gives them the mean vector.

    Returns
    -------
    ``None``. Writes ``.uns["pertscope"]["perturbation_embeddings"][name]``: ``"table"``, a
    DataFrame ``(perturbations, dimensions)``, float32, and ``"combine"``.

    Raises
    ------
    ValueError
        If names occur twice, two perturbations of the screen are the same by `alias`, values are
        missing or infinite, or no perturbation of the screen has a row.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata)
    >>> genes = sorted(set(adata.obs["perturbation"]) - {"control"})
    >>> table = pd.DataFrame(np.random.default_rng(0).random((4, 3)), index=genes)
    >>> ps.pp.add_perturbation_embedding(adata, table, "random")
    random: 4 of 4 perturbations have a vector of 3 dimensions
    """
    check_key(name, "name")
    if combine not in COMBINE:
        raise ValueError(f"`combine`={combine!r} must be one of {list(COMBINE)}.")
    if missing not in MISSING:
        raise ValueError(f"`missing`={missing!r} must be one of {list(MISSING)}.")
    frame = checked_table(read_table(table))
    parts = screen_conditions(adata, Screen.of(adata)).components
    wanted = sorted({p for condition in parts for p in condition})
    frame = _renamed(frame, wanted, alias or {})
    lost = [p for p in wanted if p not in frame.index]
    if len(lost) == len(wanted):
        raise ValueError(
            f"none of the screen's perturbations has a row: it has {listed(wanted)}, the table "
            f"{listed(frame.index)}. Pass `alias={{screen's name: table's name}}`."
        )
    if lost and missing == "mean":
        mean = np.tile(frame.to_numpy().mean(axis=0), (len(lost), 1))
        filled = pd.DataFrame(mean, index=lost, columns=frame.columns)
        frame = pd.concat([frame, filled]).astype(np.float32)
    require_actual(adata)
    write_embedding(adata, name, frame, combine)
    told = f"; without one: {listed(lost)}" if lost else ""
    told += " (they get the mean)" if lost and missing == "mean" else ""
    found = len(wanted) - len(lost)
    print(
        f"{name}: {found} of {len(wanted)} perturbations have a vector of {frame.shape[1]} "
        f"dimensions{told}"
    )


def _renamed(table: pd.DataFrame, wanted: list[str], alias: Mapping[str, str]) -> pd.DataFrame:
    """The table with a row for each name of the screen that has an alias."""
    unknown = sorted({old for new, old in alias.items() if new in wanted} - set(table.index))
    if unknown:
        raise ValueError(
            f"`alias` names {len(unknown)} row(s) that the table has not: {listed(unknown)}."
        )
    already = sorted(new for new in alias if new in wanted and new in table.index)
    if already:
        raise ValueError(
            f"`alias` renames {listed(already)}, which the table names itself: leave them out."
        )
    rows = {new: old for new, old in alias.items() if new in wanted}
    old = list(rows.values())
    twice = sorted({o for o in old if old.count(o) > 1} | (set(old) & set(wanted)))
    if twice:
        raise ValueError(
            f"two perturbations of the screen would share the row of {listed(twice)}: the same "
            "perturbation under two names must not be both in train and test. Give it one label."
        )
    return pd.concat([table, table.loc[old].set_axis(list(rows), axis=0)])
