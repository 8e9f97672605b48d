"""How well are batches mixed in a representation, and is biology kept?"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.conditions import label_column
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import nearest as nearest_names
from pertscope._core.neighbors import Neighbors, nearest, neighbors_in
from pertscope._core.representation import (
    named_representations,
    representation_of,
    require_batches,
)
from pertscope._core.screen import Screen, require_actual
from pertscope.ev._integration_metrics import (
    EVERY_METRIC,
    METRICS,
    TOTAL,
    WEIGHTS,
    Embedded,
    lisi_neighbors,
)
from pertscope.ev._lisi import SCALES
from pertscope.ev._pcr import explained_by_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

REPRESENTATION, KIND, NOTE = "representation", "kind", "note"
ALL, PROFILES = "all", "profiles"


def integration(
    adata: AnnData,
    use_rep: str | Sequence[str] | None,
    *,
    label_key: str | None = None,
    batch_key: str | None = None,
    before: str | None = None,
    metrics: str | Sequence[str] = "all",
    neighbors_key: str | None = None,
    perplexity: float = 30,
    lisi_scale: str = "median",
    seed: int = 0,
    key_added: str = "integration",
) -> None:
    """Judge how well batches are mixed in a representation, and whether labels stay apart.

    All metrics go from 0 or so to 1, higher is better. Of batches:

    - ``silhouette_batch``: ``1 - |silhouette by batch|`` within each label; ``bras``: the same with
      cosine distances and the mean distance to all other batches;
    - ``kbet``: share of cells whose 50 neighbours have the batches of the whole screen (chi-square
      test, level 0.05);
    - ``ilisi``: local inverse Simpson index of the batch, scaled;
    - ``graph_connectivity``: share of a label's cells in the largest strongly connected component
      of the graph of 15 neighbours;
    - ``pcr_comparison``: share by which the variance that batches explain fell below that of
      `before`.

    Of biology: ``clisi``, ``silhouette_label``, ``isolated_labels`` (silhouette of the labels that
    are in the fewest batches) and ``isolated_labels_f1`` (their best F1 with a Leiden cluster),
    ``nmi_leiden`` and ``ari_leiden`` (15 neighbours, best NMI of resolutions 0.2 to 2),
    ``nmi_kmeans`` and ``ari_kmeans`` (as many clusters as labels). ``batch`` and ``biology`` are
    means of these, without ``isolated_labels_f1``; ``total = 0.4 batch + 0.6 biology``.

    Of the biology of profiles, whose rows are wells, counted where they are asked for: mean average
    precision with which those of a label find each other among the controls of their batch
    (``map_controls``), and among the other perturbations there (``map_nonreplicates``), by cosine,
    averaged over labels. Cells have too many pairs for them.

    Names are scib-metrics'. Beside it: a cell is no neighbour of itself, and LISI takes exactly
    ``3 * perplexity`` neighbours, as harmonypy. All is float64 but for the products behind
    Euclidean silhouettes, whose close pairs are measured again. What is skipped or clipped is in
    the column ``note``.

    Parameters
    ----------
    adata
        Registered screen.
    use_rep
        Key of ``.obsm``, or several to compare; ``None`` for the registered layer, where it holds
        dense features.
    label_key
        Column of ``.obs`` that says what should stay apart; by default the perturbation.
    batch_key
        Column of ``.obs`` that says what should be mixed; by default the registered batch.
    before
        Key of ``.obsm`` of the cells before correction, for ``pcr_comparison``; by default the
        registered layer (scib-metrics: 50 principal components of it).
    metrics
        ``"all"``, those of scib-metrics; ``"profiles"``, these and the two of profiles; or names.
    neighbors_key
        Graph to use in place of a search: distances in ``.obsp``, or an entry of ``.uns`` as
        ``scanpy.pp.neighbors`` writes it; of one representation.
    perplexity
        Neighbours that LISI counts; it looks at three times as many.
    lisi_scale
        ``"median"``, ``(median - 1) / (B - 1)``, as scib; ``"mean"``, ``(mean - 1) / (B - 1)``;
        ``"none"``, the mean as it is, as harmonypy, which no total then counts.
    seed
        Seed of the clusters.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per representation and
    metric or total: ``representation``, ``metric``, ``kind`` (``batch``, ``biology``, ``total``),
    ``value`` (float64; NaN where it is not defined), ``note``.

    Raises
    ------
    KeyError
        If the screen is not registered, or a representation, column or graph does not exist.
    ValueError
        If an option is unknown, values are NaN or infinite, there is no batch column, one batch or
        one label, or fewer cells than neighbours.
    ImportError
        If igraph is needed and not installed.

    References
    ----------
    Luecken et al., Nature Methods 19 (2022); Arevalo et al., Nature Communications 15 (2024), for
    image profiles.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=3, n_genes=30, n_batches=2, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> adata.obsm["X_some"] = adata.X[:, :10].toarray()
    >>> ps.ev.integration(adata, "X_some", metrics=["ilisi", "silhouette_label"])
    >>> adata.uns["integration"]["metric"].tolist()
    ['ilisi', 'silhouette_label', 'batch', 'biology', 'total']
    """
    keys.check_key(key_added)
    names = _metric_names(metrics)
    if lisi_scale not in SCALES:
        raise ValueError(f"`lisi_scale`={lisi_scale!r} must be one of {SCALES}.")
    screen = Screen.of(adata)
    labels = label_column(adata.obs, label_key or screen.perturbation_key)
    batch = label_column(adata.obs, batch_key or require_batches(screen))
    for what, column in (("label", labels), ("batch", batch)):
        if len(column.categories) < 2:
            raise ValueError(
                f"all cells have {what} {column.categories[0]!r}: integration is judged between "
                "at least two batches, and labels."
            )
    reps = named_representations(adata, use_rep)
    if neighbors_key is not None and len(reps) > 1:
        raise ValueError("a graph is of one representation: give `neighbors_key` with one.")
    points = {name: representation_of(adata, key) for name, key in reps.items()}
    if len(labels) == len(labels.categories):
        raise ValueError("each cell has a label of its own: labels must group cells.")
    x0 = matrix_of(adata, screen.layer) if before is None else representation_of(adata, before)
    explained_before = cache(lambda: explained_by_batch(x0, batch.codes.astype(np.int64)))
    tables = []
    for rep, x in points.items():
        cells = Embedded(
            x,
            explained_before,
            labels.codes.astype(np.int64),
            batch.codes.astype(np.int64),
            labels.categories.to_numpy(dtype=object),
            int(labels.categories.get_indexer([screen.control])[0]),
            _finder(adata, x, names, neighbors_key, perplexity),
            perplexity,
            lisi_scale,
            seed,
        )
        found = {name: EVERY_METRIC[name].function(cells) for name in names}
        tables.append(_table(rep, found, lisi_scale))
    table = pd.concat(tables, ignore_index=True)
    table.index = table.index.astype(str)
    require_actual(adata)
    adata.uns[key_added] = table


def _metric_names(metrics: str | Sequence[str]) -> list[str]:
    sets: dict[str, Sequence[str]] = {ALL: list(METRICS), PROFILES: list(EVERY_METRIC)}
    names = sets.get(metrics, [metrics]) if isinstance(metrics, str) else metrics
    unknown = [name for name in names if name not in EVERY_METRIC]
    if unknown:
        raise ValueError(f"no metric {unknown[0]!r}; {nearest_names(unknown[0], EVERY_METRIC)}.")
    if not names:
        raise ValueError(f"`metrics` is empty: choose from {', '.join(EVERY_METRIC)}.")
    return list(dict.fromkeys(names))


def _finder(
    adata: AnnData, x: np.ndarray, names: list[str], graph: str | None, perplexity: float
) -> Callable[[int], Neighbors]:
    """Neighbours of all metrics from one search for the most that any of them needs."""
    if not perplexity >= 1:
        raise ValueError(f"`perplexity`={perplexity} must be at least 1.")
    asked = {name: EVERY_METRIC[name].neighbors for name in names}
    needed = {name: lisi_neighbors(perplexity) if k < 0 else k for name, k in asked.items()}
    most = max(needed.values())
    if most == 0:
        return lambda k: nearest(x, k)
    if most >= len(x):
        which = ", ".join(f"{name} ({k})" for name, k in needed.items() if k >= len(x))
        raise ValueError(
            f"there are {len(x)} cells, fewer than some metrics need neighbours: {which}. "
            "Lower `perplexity`, or name other `metrics`."
        )
    return (nearest(x, most) if graph is None else neighbors_in(adata, graph, most)).first


def _table(rep: str, found: dict[str, tuple[float, str]], lisi_scale: str) -> pd.DataFrame:
    rows = [
        (rep, name, EVERY_METRIC[name].kind, value, note) for name, (value, note) in found.items()
    ]
    means = {}
    for kind in WEIGHTS:
        counted = {
            name: value
            for name, (value, _) in found.items()
            if EVERY_METRIC[name].kind == kind
            and EVERY_METRIC[name].in_total
            and not (lisi_scale == "none" and name in {"ilisi", "clisi"})
        }
        missing = [name for name, value in counted.items() if np.isnan(value)]
        finite = [value for value in counted.values() if not np.isnan(value)]
        means[kind] = float(np.mean(finite)) if finite else np.nan
        note = f"without {', '.join(missing)}" if missing else ""
        rows.append((rep, kind, TOTAL, means[kind], note))
    total = sum(weight * means[kind] for kind, weight in WEIGHTS.items())
    rows.append((rep, TOTAL, TOTAL, total, ""))
    columns = [REPRESENTATION, keys.METRIC, KIND, keys.VALUE, NOTE]
    return pd.DataFrame(rows, columns=columns)
