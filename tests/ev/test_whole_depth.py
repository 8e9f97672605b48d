"""Ceilings of halves, at the depth of the whole: what a replicate of the experiment gets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.ev.worlds import perturbed, table_of, world

import pertscope as ps

N_CELLS, N_DRAWS = 40, 4
DISTANCES = [
    "energy_distance_pca",
    "half_energy_distance_genes",
    "squared_energy_distance_pca",
    "mmd_linear_pca",
    "mmd_rbf_pca",
    "mmd_rbf_median_pca",
    "wasserstein_pca",
    "sliced_wasserstein_genes",
]
MEANS = ["rmse_effect", "mse_mean", "r2_effect", "weighted_r2_mean"]


def replicated(seed: int):
    """Screen, with another experiment of as many cells as a prediction of it."""
    both = world(n_cells=2 * N_CELLS, seed=seed)
    second = (np.arange(both.n_obs) % 2 == 0) & (both.obs["perturbation"] != "control").to_numpy()
    adata = both[~second].copy()
    ps.pp.add_prediction(adata, perturbed(both[second].copy()), "replicate")
    return adata


@pytest.mark.parametrize("max_cells", [1000, 25, 15])
def test_a_replicate_scores_at_the_ceiling(max_cells) -> None:
    """Halves hold 20 cells, the whole 40; distances look at fewer where `max_cells` says so."""
    found = []
    for seed in range(N_DRAWS):
        adata = replicated(seed)
        metrics = DISTANCES + (MEANS if max_cells == 1000 else [])
        ps.ev.evaluate(adata, metrics=metrics, floor=False, max_cells=max_cells)
        found.append(table_of(adata).groupby("name")[["value", "ceiling"]].mean())
    mean = pd.concat(found).groupby(level=0).mean()
    lacks = [name for name in MEANS if "r2" in name and name in mean.index]
    mean.loc[lacks] = 1 - mean.loc[lacks]
    np.testing.assert_allclose(mean["ceiling"], mean["value"], rtol=0.12)


def test_fewer_cells_are_said() -> None:
    adata = replicated(0)
    few = ps.get.prediction(adata, "replicate")
    few = few[few.obs.groupby(["cell_type", "perturbation"], observed=True).cumcount() < 15].copy()
    ps.pp.add_prediction(adata, few, "few")
    said = "'energy_distance_pca' are larger for fewer cells, .* 'replicate 40', 'few 15'"
    with pytest.warns(UserWarning, match=said):
        ps.ev.evaluate(adata, metrics=["energy_distance_pca"], floor=False, ceiling=False)
    quiet = {"metrics": ["energy_distance"], "unbiased": True}
    ps.ev.distribution_metrics(adata, **quiet)
    ps.ev.evaluate(adata, metrics=["rmse_mean"], floor=False, ceiling=False)
    with pytest.raises(ValueError, match="`max_cells`=1 must be at least 2"):
        ps.ev.distribution_metrics(adata, max_cells=1)
