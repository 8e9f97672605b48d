"""A screen to transfer effects on, and how far a model's predictions lie above the floors."""

from __future__ import annotations

import contextlib
import functools
import io
from typing import TYPE_CHECKING

from tests.models.test_known_truth import true_cosine

import pertscope as ps

if TYPE_CHECKING:
    from anndata import AnnData

FLOORS = ("no_change", "mean_effect")


@functools.cache
def _transfer_screen() -> AnnData:
    adata = ps.datasets.simulate_screen(
        n_perturbations=20,
        n_genes=60,
        n_cells_per_condition=15,
        n_controls=100,
        effect_size=0.8,
        shared_effect=0.5,
        seed=3,
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_transfer(adata)
    for name in FLOORS:
        getattr(ps.tl, f"fit_{name}")(adata)
    return adata


def transfer_screen() -> AnnData:
    """Twenty perturbations in three cell types that modulate them, some held out, two floors."""
    return _transfer_screen().copy()


def above_the_floors(adata: AnnData, name: str) -> tuple[float, float]:
    """By how much a model's rank lies below the best floor's, and its cosine above."""
    ps.ev.rank_metrics(adata)
    ranks = ps.get.scores(adata)["mean"]["rmse_rank_mean"]
    found = true_cosine(adata)
    return (
        min(ranks[n] for n in FLOORS) - ranks[name],
        found[name] - max(found[n] for n in FLOORS),
    )
