"""Bring in a representation of cells that was computed elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pertscope._core.keys import check_key
from pertscope._core.messages import listed, nearest
from pertscope._core.screen import require_actual, require_anndata
from pertscope._core.tables import checked_table, read_table

if TYPE_CHECKING:
    import os

    from anndata import AnnData

MISSING = ("error", "nan")


def add_representation(
    adata: AnnData,
    source: pd.DataFrame | AnnData | str | os.PathLike[str],
    name: str,
    *,
    use_rep: str | None = None,
    missing: str = "error",
) -> None:
    """Keep vectors of cells that were computed elsewhere, matched by the names of the cells.

    Prints how many cells have a vector, and what did not match.

    Parameters
    ----------
    adata
        Cells, named by ``.obs_names``.
    source
        Vectors, cells in rows: a DataFrame; an AnnData; or a file, ``.csv`` and ``.tsv`` (names in
        the first column), ``.parquet``, ``.h5ad``, or ``.npz`` with the arrays ``names`` and
        ``vectors``.
    name
        Key of ``.obsm`` to keep them under.
    use_rep
        Key of the ``.obsm`` of a `source` that is an AnnData or an ``.h5ad`` file; by default its
        ``.X`` is taken.
    missing
        What becomes of cells without a vector: an ``"error"``, or ``"nan"``, which no metric takes:
        leave such cells out afterwards.

    Returns
    -------
    ``None``. Writes ``.obsm[name]``, float32 ``(cells, dimensions)``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    KeyError
        If `source` has no `use_rep`.
    ValueError
        If names occur twice, values are missing or infinite, cells have no vector, or none has.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> vectors = np.random.default_rng(0).random((adata.n_obs, 3))
    >>> table = pd.DataFrame(vectors, index=adata.obs_names)
    >>> ps.pp.add_representation(adata, table[::-1], "X_random")
    X_random: 2,100 of 2,100 cells have a vector of 3 dimensions; rows were in another order
    """
    require_anndata(adata)
    check_key(name, "name")
    if missing not in MISSING:
        raise ValueError(f"`missing`={missing!r} must be one of {list(MISSING)}.")
    if not adata.obs_names.is_unique:
        raise ValueError("`.obs_names` are not unique: call `adata.obs_names_make_unique()` first.")
    table = checked_table(read_table(source) if use_rep is None else _obsm_of(source, use_rep))
    place = table.index.get_indexer(adata.obs_names)
    found = place >= 0
    if not found.any():
        raise ValueError(
            f"none of the cells has a row: cells are named {listed(adata.obs_names, 3)}, rows "
            f"{listed(table.index, 3)}."
        )
    lost = adata.obs_names[~found]
    if len(lost) and missing == "error":
        raise ValueError(
            f"{len(lost)} of {adata.n_obs} cells have no row: {listed(lost)}. Keep the others "
            'alone, or pass `missing="nan"`.'
        )
    vectors = table.to_numpy()[place]
    vectors[~found] = np.nan
    require_actual(adata)
    adata.obsm[name] = vectors
    extra = len(table) - int(found.sum())
    told = f"{name}: {found.sum():,} of {adata.n_obs:,} cells have a vector of {vectors.shape[1]} "
    notes = [
        f"{told}dimensions",
        f"without one: {listed(lost)}" if len(lost) else "",
        f"{extra:,} row(s) of other cells left out" if extra else "",
        "rows were in another order" if (np.diff(place[found]) < 0).any() else "",
    ]
    print("; ".join(filter(None, notes)))


def _obsm_of(source: pd.DataFrame | AnnData | str | os.PathLike[str], key: str) -> pd.DataFrame:
    """An entry of the ``.obsm`` of an AnnData or its file, as a table."""
    from anndata import AnnData, read_h5ad

    if not isinstance(source, AnnData):
        if isinstance(source, pd.DataFrame) or Path(source).suffix.lower() != ".h5ad":
            raise ValueError("`use_rep` is for a `source` that is an AnnData or an .h5ad file.")
        if not Path(source).exists():
            raise FileNotFoundError(f"there is no file {source}.")
        source = read_h5ad(source, backed="r")
    if key not in source.obsm:
        raise KeyError(f"`.obsm` of the source has no {key!r}; {nearest(key, source.obsm)}.")
    vectors = source.obsm[key]
    dense = vectors.toarray() if sp.issparse(vectors) else np.asarray(vectors)
    return pd.DataFrame(dense, index=source.obs_names)
