"""The conditions of a screen as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import PARTS
from pertscope._core.screen import Screen
from pertscope._core.splits import split_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def conditions(adata: AnnData) -> pd.DataFrame:
    """Table of the conditions: each perturbation in each combination of covariates.

    Parameters
    ----------
    adata
        Registered screen.

    Returns
    -------
    One row per condition, controls included, with its covariates and perturbation, and

    - ``n_cells``: its cells, int;
    - ``n_controls``: cells of its matched control, int;
    - ``is_control``, ``is_combination``: bool;
    - ``split``: ``train``, ``val`` or ``test``, several joined by commas for controls; missing
      where the screen was not split, or does not use the condition.

    Raises
    ------
    KeyError
        If `adata` is not registered.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> int(ps.get.conditions(adata)["is_control"].sum()) == adata.obs["cell_type"].nunique()
    True
    """
    screen = Screen.of(adata)
    found = screen_conditions(adata, screen)
    n_cells = found.n_cells
    table = found.table.set_axis(found.index)
    table["n_cells"] = n_cells
    table["n_controls"] = np.where(found.control_of < 0, 0, n_cells[found.control_of])
    table["is_control"] = found.is_control
    table["is_combination"] = found.is_combination
    parts: list[list[str]] = [[] for _ in range(len(found))]
    if screen.split_key in adata.obs.columns:
        cells = split_of(adata, found)
        for part in PARTS:
            for i in np.unique(found.codes[cells == part]):
                parts[i].append(part)
    table["split"] = [", ".join(p) if p else None for p in parts]
    return table
