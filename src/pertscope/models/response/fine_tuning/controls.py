"""Control cells as an encoder sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import CONTROL_MEAN, TRAIN
from pertscope._core.matrix import dense_rows, matrix_of
from pertscope._core.splits import split_of
from pertscope.models.control_means import context_names, controls_by_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.screen import Screen


def drawn_controls(
    adata: AnnData, screen: Screen, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training controls, at most so many of each combination of covariates.

    A screen of effects holds their mean (:func:`pertscope.tl.effects`), which stands for a cell.

    Returns
    -------
    Names of the combinations, str; cells, float32 ``(cells, genes)``; combination of each, int64.
    """
    conditions = screen_conditions(adata, screen)
    layer = CONTROL_MEAN if CONTROL_MEAN in adata.layers else screen.layer
    in_train = split_of(adata, conditions) == TRAIN
    rng, rows, there = np.random.default_rng(seed), [], []
    for code in np.flatnonzero(conditions.is_control):
        found = np.flatnonzero(in_train & (conditions.codes == code))
        if len(found) > most:
            found = np.sort(rng.choice(found, most, replace=False))
        if len(found):
            rows.append(found)
            there.append(code)
    context = np.repeat(np.arange(len(rows)), [len(found) for found in rows])
    cells = [dense_rows(matrix_of(adata, layer), found) for found in rows]
    return context_names(conditions.take(np.array(there))), np.concatenate(cells), context


def mean_controls(adata: AnnData, screen: Screen) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same, but one mean cell of each combination of covariates."""
    names, means = controls_by_context(adata, screen)
    return names, means.astype(np.float32), np.arange(len(names))


def as_seen(cells: np.ndarray, genes: Sequence[str], encoder_genes: Sequence[str]) -> np.ndarray:
    """Cells by the genes of an encoder, 0 where a gene is not measured, float32."""
    place = {gene: i for i, gene in enumerate(genes)}
    found = np.array([place.get(gene, -1) for gene in encoder_genes])
    seen: np.ndarray = np.where(found >= 0, cells[:, found], 0).astype(np.float32)
    return seen
