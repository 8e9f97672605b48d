"""Are genes that are known to belong together near each other?"""

from __future__ import annotations

import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.distances import unit_rows
from pertscope._core.messages import listed
from pertscope._core.representation import named_representations, represented, sums_by_group
from pertscope._core.screen import require_actual
from pertscope.datasets._relationships import ENTITIES, relationships, unique_pairs
from pertscope.ev._pair_quantiles import pair_order_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

ROUNDING = 1e-12
"""Cosines that differ by less are equal: they were summed in another order."""

Database: TypeAlias = str | Path | pd.DataFrame


def relationship_recall(
    adata: AnnData,
    use_rep: str | Sequence[str] | None = "X_pca",
    *,
    databases: Database | Sequence[Database] = ("reactome", "humap", "string", "corum", "signor"),
    tails: tuple[float, float] = (0.05, 0.95),
    min_shared: int = 20,
    key_added: str = "relationship_recall",
) -> None:
    r"""Share of known pairs of genes among the most similar and most dissimilar pairs.

    Cells of a perturbation are averaged, and all pairs of perturbations compared by the cosine
    :math:`c`. A known pair is recalled if its cosine lies in a tail of all N pairs:

    .. math::
        \#\{c' \le c\} \le \text{low} \cdot N \quad \text{or} \quad
        \#\{c' < c\} \ge \text{high} \cdot N

    The floor is the size of the tails, 0.10. The cosines of all pairs are gone through in blocks
    and never held together; their order statistics are exact.

    Parameters
    ----------
    adata
        Registered screen whose perturbations are named as the databases name genes. Controls are
        left out.
    use_rep
        Key of ``.obsm``, or several to compare, such as :func:`~pertscope.pp.center` wrote: in a
        representation that is not centred all perturbations point the same way. ``None`` is the
        registered layer.
    databases
        Names or files that :func:`~pertscope.datasets.relationships` takes, or tables with columns
        ``entity1`` and ``entity2``. Pairs count once, whatever their order.
    tails
        Quantiles below and above which a pair is recalled.
    min_shared
        Least number of the screen's perturbations that a database must relate to each other.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per representation and database:
    ``representation``, ``database`` (categorical), ``n_shared`` perturbations in its pairs,
    ``n_pairs`` of them (int64), ``recall``, ``floor``, and ``low`` and ``high``, the cosines where
    the tails begin (float64).

    Raises
    ------
    KeyError
        If the screen is not registered, or the representation or a database does not exist.
    ConnectionError
        If a database is not in the cache and cannot be downloaded.
    ValueError
        If values are not finite, tails overlap, or no database shares enough with the screen.

    Warns
    -----
    UserWarning
        If some databases do not share enough with the screen: their recall is NaN.

    References
    ----------
    Celik et al., PLoS Comput. Biol. 20 (2024); Bendidi et al. (2024), section 3.5.

    Examples
    --------
    >>> import itertools, pandas as pd, pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=24, n_genes=60, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=10)
    >>> genes = [g for g in adata.obs["perturbation"].cat.categories if g != "control"]
    >>> known = pd.DataFrame(itertools.pairwise(genes), columns=["entity1", "entity2"])
    >>> ps.ev.relationship_recall(adata, databases=known)
    >>> adata.uns["relationship_recall"]["n_pairs"].tolist()
    [23]
    """
    keys.check_key(key_added)
    low, high = tails
    if not 0 <= low < high <= 1:
        raise ValueError(f"`tails`={tails} must be two quantiles, the lower one first.")
    reps = named_representations(adata, use_rep)
    points = {name: represented(adata, key) for name, key in reps.items()}
    cells = next(iter(points.values()))
    kept = np.setdiff1d(np.unique(cells.perturbation), [cells.control])
    names = pd.Index(cells.names[kept])
    if isinstance(databases, str | Path | pd.DataFrame):
        databases = [databases]
    n = np.bincount(cells.perturbation, minlength=len(cells.names))[kept]
    totals = [sums_by_group(p.x, cells.perturbation, len(cells.names)) for p in points.values()]
    units = [unit_rows(total[kept] / n[:, None]) for total in totals]
    with ThreadPoolExecutor(1) as pool:  # cosines are gone through while files are read
        found = pool.map(lambda unit: _tails(unit, low, high), units)
        tables = [_pairs(d, i) for i, d in enumerate(databases)]
        places = [_places(table, names) for _, table in tables]
    n_shared = np.array([len(np.unique(p)) for p in places], np.int64)
    _check_shared([name for name, _ in tables], n_shared, min_shared)

    rows: list[dict[str, object]] = []
    for rep, unit, thresholds in zip(points, units, found, strict=True):
        rows += [
            {
                "representation": rep,
                "database": name,
                "n_shared": shared,
                "n_pairs": len(pairs),
                "recall": _recall(unit, pairs, thresholds) if shared >= min_shared else np.nan,
                "floor": low + (1 - high),
                "low": thresholds[0],
                "high": thresholds[1],
            }
            for (name, _), shared, pairs in zip(tables, n_shared, places, strict=True)
        ]
    table = pd.DataFrame(rows).astype({"representation": "category", "database": "category"})
    table.index = table.index.astype(str)
    require_actual(adata)
    adata.uns[key_added] = table


def _pairs(database: Database, number: int) -> tuple[str, pd.DataFrame]:
    """Name and pairs of a database."""
    if isinstance(database, pd.DataFrame):
        name = str(database.attrs.get("name", f"table {number + 1}"))
        return name, unique_pairs(database, f"`databases`: {name!r}")
    found = relationships(database)
    return str(found.attrs["name"]), found


def _places(table: pd.DataFrame, names: pd.Index) -> np.ndarray:
    """Perturbations of the pairs that the screen has, int64 ``(pairs, 2)``, lower one first."""
    both = np.column_stack([names.get_indexer(table[e]) for e in ENTITIES])
    return np.sort(both[(both >= 0).all(axis=1)], axis=1).astype(np.int64)


def _check_shared(names: list[str], n_shared: np.ndarray, min_shared: int) -> None:
    few = n_shared < min_shared
    shared = listed((f"{n} ({k})" for n, k in zip(names, n_shared, strict=True) if k < min_shared))
    if not names:
        raise ValueError("`databases` is empty.")
    if few.all():
        raise ValueError(
            f"no database relates `min_shared`={min_shared} of the screen's perturbations to each "
            f"other: {shared}. Are perturbations named as their genes, and does the screen have "
            "many?"
        )
    if few.any():
        warnings.warn(
            f"{int(few.sum())} database(s) relate fewer than {min_shared} of the screen's "
            f"perturbations, their recall is NaN: {shared}.",
            UserWarning,
            stacklevel=3,
        )


def _tails(unit: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Cosines where the tails begin.

    ``#{c' <= c} <= m`` where c lies below the value of rank m; ``#{c' < c} >= m`` where c lies
    above the value of rank m - 1.
    """
    n_pairs = len(unit) * (len(unit) - 1) // 2
    # counts are whole: what rounding takes from low * N must not move the rank
    rank_low = math.floor(low * n_pairs + 1e-9)
    rank_high = math.ceil(high * n_pairs - 1e-9) - 1
    inside = [min(rank_low, n_pairs - 1), max(rank_high, 0)]
    found = pair_order_statistics(unit, inside)
    return (
        found[0] if rank_low < n_pairs else np.inf,
        found[1] if rank_high >= 0 else -np.inf,
    )


def _recall(unit: np.ndarray, pairs: np.ndarray, tails: tuple[float, float]) -> float:
    """Share of the pairs ``(pairs, 2)`` whose cosine lies beyond where the tails begin."""
    cosine = np.einsum("ij,ij->i", unit[pairs[:, 0]], unit[pairs[:, 1]])
    low, high = tails
    return float(np.mean((cosine < low - ROUNDING) | (cosine > high + ROUNDING)))
