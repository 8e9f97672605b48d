"""Metrics of how well batches are mixed and biology is kept; all of them: higher is better."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pertscope.ev import _clusters as clusters
from pertscope.ev._graph_connectivity import graph_connectivity
from pertscope.ev._kbet import kbet
from pertscope.ev._lisi import lisi, neighbor_weights, scaled_lisi
from pertscope.ev._pcr import explained_by_batch
from pertscope.ev._replicate_precision import replicate_precision
from pertscope.ev._silhouette import batch_silhouettes, silhouettes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope._core.neighbors import Neighbors

BATCH, BIOLOGY, TOTAL = "batch", "biology", "total"
WEIGHTS = {BATCH: 0.4, BIOLOGY: 0.6}
KBET_NEIGHBORS, GRAPH_NEIGHBORS = 50, 15

Result = tuple[float, str]
"""Value of a metric, and what is to be known of it."""


@dataclass(frozen=True)
class Embedded:
    """Cells in a representation, and what several metrics need of them.

    Attributes
    ----------
    x
        Cells, ``(cells, d)``.
    before
        Gives the share of the variance before correction that batches explain.
    labels, batch
        Codes of each cell without gaps, int64 ``(cells,)``.
    label_names
        Names of the labels.
    control
        Code of the label that is the control; -1 where none is.
    neighbors
        Finds the k nearest neighbours of each cell.
    perplexity, lisi_scale, seed
        Options.
    """

    x: np.ndarray
    before: Callable[[], float]
    labels: np.ndarray
    batch: np.ndarray
    label_names: np.ndarray
    control: int
    neighbors: Callable[[int], Neighbors]
    perplexity: float
    lisi_scale: str
    seed: int

    @cached_property
    def around(self) -> Neighbors:
        """Neighbours that LISI counts."""
        return self.neighbors(lisi_neighbors(self.perplexity))

    @cached_property
    def weights(self) -> np.ndarray:
        """Weights of the neighbours that LISI counts."""
        return neighbor_weights(self.around.distances, perplexity=self.perplexity)

    @cached_property
    def label_silhouettes(self) -> np.ndarray:
        """Silhouette of each cell by label, from 0 to 1."""
        return (silhouettes(self.x, self.labels) + 1) / 2

    @cached_property
    def leiden(self) -> list[np.ndarray]:
        """Leiden clusters at each resolution."""
        return clusters.leiden_clusters(self.neighbors(GRAPH_NEIGHBORS), seed=self.seed)

    @cached_property
    def leiden_agreement(self) -> tuple[float, float]:
        """NMI and ARI at the resolution of the highest NMI."""
        return max(clusters.agreement(self.labels, c) for c in self.leiden)

    @cached_property
    def k_means_agreement(self) -> tuple[float, float, str]:
        """NMI and ARI of as many clusters as there are labels; a note where there are fewer."""
        wanted = len(self.label_names)
        found = clusters.k_means_clusters(self.x, wanted, seed=self.seed)
        n = len(np.unique(found))
        note = f"{n} clusters: fewer points than the {wanted} labels are distinct"
        return (*clusters.agreement(self.labels, found), note if n < wanted else "")


@dataclass(frozen=True)
class IntegrationMetric:
    """One metric of a representation.

    Attributes
    ----------
    function
        Takes the cells, returns the value and a note.
    kind
        ``"batch"``, or ``"biology"``.
    neighbors
        Neighbours that it looks at; 0 for none, -1 for three times the perplexity.
    reference
        Source.
    in_total
        Whether the totals count it.
    """

    function: Callable[[Embedded], Result]
    kind: str
    reference: str
    neighbors: int = 0
    in_total: bool = True


def lisi_neighbors(perplexity: float) -> int:
    """Three times the perplexity."""
    return int(3 * perplexity)


def _lisi(cells: Embedded, codes: np.ndarray, *, mixed: bool) -> Result:
    values = lisi(cells.weights, cells.around.indices, codes)
    scale = cells.lisi_scale
    return scaled_lisi(values, int(codes.max()) + 1, scale=scale, mixed=mixed), ""


def _mixing(cells: Embedded, metric: str, other: str) -> Result:
    """Silhouettes by batch: mean over labels, and how many have none."""
    found = batch_silhouettes(cells.x, cells.labels, cells.batch, metric=metric, other=other)
    skipped = int(np.isnan(found).sum())
    note = f"{skipped} of {len(found)} labels left out: one batch, or one cell per batch"
    if skipped == len(found):
        return np.nan, note
    return float(np.nanmean(found)), note if skipped else ""


def _pcr_comparison(cells: Embedded) -> Result:
    before = cells.before()
    after = explained_by_batch(cells.x, cells.batch)
    if before == 0:
        return np.nan, "batches explain nothing before correction"
    value = (before - after) / before
    if value < 0:
        return 0.0, f"set to 0 from {value:.4g}: batches explain more than before correction"
    return value, ""


def _isolated_labels(cells: Embedded) -> Result:
    which = clusters.isolated(cells.labels, cells.batch)
    n_cells = np.bincount(cells.labels)
    mean = np.bincount(cells.labels, weights=cells.label_silhouettes) / n_cells
    return float(mean[which].mean()), _isolated_note(cells, which)


def _isolated_f1(cells: Embedded) -> Result:
    which = clusters.isolated(cells.labels, cells.batch)
    return clusters.isolated_f1(cells.labels, which, cells.leiden), _isolated_note(cells, which)


def _isolated_note(cells: Embedded, which: np.ndarray) -> str:
    same = len(which) == len(cells.label_names)
    return "all labels are in the same number of batches: all count as isolated" if same else ""


def _graph_connectivity(cells: Embedded) -> Result:
    found = graph_connectivity(cells.neighbors(GRAPH_NEIGHBORS).indices, cells.labels)
    return float(found.mean()), ""


def _replicates(cells: Embedded, *, among_controls: bool) -> Result:
    if among_controls and cells.control < 0:
        return np.nan, "no label is the control"
    value, n_left_out = replicate_precision(
        cells.x, cells.labels, cells.batch, cells.control, among_controls=among_controls
    )
    why = "no other of their label, or nothing in their batch to be ranked among"
    return value, f"{n_left_out} left out: {why}" if n_left_out else ""


LUECKEN = "Luecken et al., Nature Methods 19 (2022)"
BUETTNER = "Büttner et al., Nature Methods 16 (2019)"
AREVALO = "Arevalo et al., Nature Communications 15 (2024)"
KORSUNSKY = "Korsunsky et al., Nature Methods 16 (2019)"

METRICS: dict[str, IntegrationMetric] = {
    "silhouette_batch": IntegrationMetric(
        lambda c: _mixing(c, "euclidean", "nearest"), BATCH, LUECKEN
    ),
    "kbet": IntegrationMetric(
        lambda c: (kbet(c.neighbors(KBET_NEIGHBORS).indices, c.batch), ""),
        BATCH,
        BUETTNER,
        KBET_NEIGHBORS,
    ),
    "ilisi": IntegrationMetric(lambda c: _lisi(c, c.batch, mixed=True), BATCH, KORSUNSKY, -1),
    "graph_connectivity": IntegrationMetric(_graph_connectivity, BATCH, LUECKEN, GRAPH_NEIGHBORS),
    "pcr_comparison": IntegrationMetric(_pcr_comparison, BATCH, BUETTNER),
    "bras": IntegrationMetric(
        lambda c: _mixing(c, "cosine", "mean"),
        BATCH,
        "Rautenstrauch and Ohler, Nature Biotechnology (2025)",
    ),
    "clisi": IntegrationMetric(lambda c: _lisi(c, c.labels, mixed=False), BIOLOGY, KORSUNSKY, -1),
    "silhouette_label": IntegrationMetric(
        lambda c: (float(c.label_silhouettes.mean()), ""), BIOLOGY, LUECKEN
    ),
    "isolated_labels": IntegrationMetric(_isolated_labels, BIOLOGY, LUECKEN),
    "isolated_labels_f1": IntegrationMetric(
        _isolated_f1, BIOLOGY, LUECKEN, GRAPH_NEIGHBORS, in_total=False
    ),
    "nmi_leiden": IntegrationMetric(
        lambda c: (c.leiden_agreement[0], ""), BIOLOGY, LUECKEN, GRAPH_NEIGHBORS
    ),
    "ari_leiden": IntegrationMetric(
        lambda c: (c.leiden_agreement[1], ""), BIOLOGY, LUECKEN, GRAPH_NEIGHBORS
    ),
    "nmi_kmeans": IntegrationMetric(lambda c: c.k_means_agreement[::2], BIOLOGY, LUECKEN),
    "ari_kmeans": IntegrationMetric(lambda c: c.k_means_agreement[1:], BIOLOGY, LUECKEN),
}
"""Every metric of :func:`pertscope.ev.integration`, by scib-metrics' names."""

EVERY_METRIC: dict[str, IntegrationMetric] = METRICS | {
    "map_controls": IntegrationMetric(
        lambda c: _replicates(c, among_controls=True), BIOLOGY, AREVALO
    ),
    "map_nonreplicates": IntegrationMetric(
        lambda c: _replicates(c, among_controls=False), BIOLOGY, AREVALO
    ),
}
"""Those, and two that scib-metrics has not: their pairs are too many where rows are cells."""
