"""Read a split from a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.conditions import match_conditions, screen_conditions
from pertscope._core.messages import listed, nearest
from pertscope._core.screen import Screen
from pertscope._core.splits import (
    CONDITIONS,
    CONTEXTS,
    PERTURBATIONS,
    UNUSED,
    write_cells,
    write_split,
)

if TYPE_CHECKING:
    import os

    from anndata import AnnData

    from pertscope._core.conditions import Conditions


def split_from_csv(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    column: str = "split",
    holds_out: str = CONDITIONS,
    train_control_fraction: float = 0.5,
    seed: int = 0,
) -> None:
    """Read a split from a CSV file of cells or of conditions.

    Parameters
    ----------
    adata
        Registered screen.
    path
        A file with a column of ``train``, ``val`` and ``test``, and either the screen's covariate
        and perturbation columns, one row per condition, or the names of the cells in its first
        column. What it does not list is left unused. A table of conditions without controls leaves
        the controls to be split at random.
    column
        Its column with the split.
    holds_out
        What the split must hold out to be taken: ``"conditions"``, whose perturbations train sees
        elsewhere; ``"perturbations"`` that train sees nowhere, as :func:`pertscope.pp.split_unseen`
        does; or ``"contexts"``, whole combinations of covariates, as
        :func:`pertscope.pp.split_contexts` does.
    train_control_fraction
        Share of controls in train, where they are split at random.
    seed
        Seed of that draw.

    Returns
    -------
    ``None``. Writes ``.obs[split_key]``, categorical with ``train``, ``val``, ``test``, missing
    where unused, and how it was made to ``.uns["pertscope"]["splits"]``. Prints a table of the
    parts.

    Raises
    ------
    KeyError
        If the file has no such column.
    ValueError
        If it names cells or conditions that the screen does not have, or other parts; or if the
        split does not hold out what `holds_out` says.

    Examples
    --------
    >>> import pandas as pd, tempfile, pathlib
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> table = ps.get.conditions(adata).query("~is_control")[["cell_type", "perturbation"]]
    >>> table["split"] = ["test", "val"] + ["train"] * (len(table) - 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "split.csv")
    ...     table.to_csv(path, index=False)
    ...     ps.pp.split_from_csv(adata, path)  # doctest: +ELLIPSIS
           conditions ...
    """
    screen = Screen.of(adata)
    known = (CONDITIONS, PERTURBATIONS, CONTEXTS)
    if holds_out not in known:
        raise ValueError(f"`holds_out`={holds_out!r} must be one of {known}.")
    table = pd.read_csv(Path(path), dtype=str, keep_default_na=False)  # "NA" may be a name
    if column not in table.columns:
        raise KeyError(f"{path} has no column {column!r}; {nearest(column, table.columns)}.")
    part = table[column].to_numpy(dtype=object)
    unknown = set(part) - {*keys.PARTS, UNUSED}
    if unknown:
        raise ValueError(
            f"{path}, column {column!r}: {listed(unknown)} is none of {listed(keys.PARTS)}."
        )
    conditions = screen_conditions(adata, screen)
    how = {"function": "split_from_csv", "path": str(path)}
    of_cells = table.iloc[:, 0].isin(adata.obs_names).all()
    if of_cells or screen.perturbation_key not in table.columns:
        cells = _of_cells(adata, table, part, path)
        write_cells(adata, conditions, cells, how, held_out=holds_out)
        return
    parts = _of_conditions(conditions, table, part, path)
    if any(conditions.is_control[i] for i, p in parts.items() if p != UNUSED):
        of_condition = np.array([parts.get(i, UNUSED) for i in range(len(conditions))], object)
        cells = of_condition[conditions.codes]
        write_cells(adata, conditions, cells, how, held_out=holds_out)
        return
    write_split(
        adata,
        conditions,
        parts,
        train_control_fraction=train_control_fraction,
        seed=seed,
        how=how | {"train_control_fraction": train_control_fraction},
        held_out=holds_out,
    )


def _of_cells(
    adata: AnnData, table: pd.DataFrame, part: np.ndarray, path: str | os.PathLike[str]
) -> np.ndarray:
    names = pd.Index(table.iloc[:, 0])
    twice = names[names.duplicated()]
    if len(twice):
        raise ValueError(f"{path} lists cell(s) more than once: {listed(twice.unique())}.")
    place = adata.obs_names.get_indexer(names)
    if (place < 0).any():
        raise ValueError(
            f"{path} names {int((place < 0).sum())} cell(s) that the screen does not have: "
            f"{listed(names[place < 0])}."
        )
    cells = np.full(adata.n_obs, UNUSED, dtype=object)
    cells[place] = part
    return cells


def _of_conditions(
    conditions: Conditions, table: pd.DataFrame, part: np.ndarray, path: str | os.PathLike[str]
) -> dict[int, str]:
    wanted = conditions.screen.condition_keys
    missing = [k for k in wanted if k not in table.columns]
    if missing:
        raise KeyError(
            f"{path} has no column {missing[0]!r}; a table of conditions needs {wanted}."
        )
    place = match_conditions(table, conditions)
    if (place < 0).any():
        lost = table.loc[place < 0, wanted].agg("|".join, axis=1)
        raise ValueError(f"{path} names conditions that the screen does not have: {listed(lost)}.")
    if len(np.unique(place)) < len(place):
        twice = conditions.index[np.flatnonzero(np.bincount(place) > 1)]
        raise ValueError(f"{path} lists condition(s) more than once: {listed(twice)}.")
    parts = {int(i): UNUSED for i in np.flatnonzero(~conditions.is_control)}
    parts |= {int(i): str(p) for i, p in zip(place, part, strict=True)}
    return parts
