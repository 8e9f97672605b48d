"""Energy distance of all conditions to the controls, against pertpy.

Two screens in 50 components: 100 perturbations x 200 cells and 2,000 controls, 200 x 200 and 3,000.
pertpy's `onesided_distances` keeps the distances of all pairs of cells, so it runs on the small
one only. Its fastest way is to call `Distance` on each perturbation and the controls. Run with
``python benchmarks/bench_energy.py`` where the extra `bench` is installed.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from _timing import compare
from statsmodels.sandbox.stats import multicomp
from statsmodels.stats.multitest import multipletests

from pertscope.ev._energy import energy_to_reference

KEY = "X_pca"


def screen(n_perturbations: int, n_cells: int, n_controls: int) -> ad.AnnData:
    rng = np.random.default_rng(0)
    labels = np.repeat(
        ["control", *(f"p{i}" for i in range(n_perturbations))],
        [n_controls, *[n_cells] * n_perturbations],
    )
    centres = rng.normal(0, 0.3, (n_perturbations + 1, 50))
    x = centres[np.unique(labels, return_inverse=True)[1]] + rng.normal(size=(len(labels), 50))
    obs = pd.DataFrame({"perturbation": labels}, index=[f"cell{i}" for i in range(len(labels))])
    return ad.AnnData(np.zeros((len(labels), 1), np.float32), obs=obs, obsm={KEY: x})


def cells(adata: ad.AnnData) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    labels, x = adata.obs["perturbation"].to_numpy(), adata.obsm[KEY]
    names = [n for n in pd.unique(labels) if n != "control"]
    return [x[labels == n] for n in names], x[labels == "control"], names


def ours(adata: ad.AnnData) -> np.ndarray:
    groups, controls, _ = cells(adata)
    return energy_to_reference(groups, controls)


def peer_by_group(adata: ad.AnnData, distance: Any) -> np.ndarray:
    groups, controls, _ = cells(adata)
    return np.array([distance(x, controls) for x in groups])


def peer_onesided(adata: ad.AnnData, distance: Any) -> np.ndarray:
    adata.obsp.clear()  # it keeps the distances of the last call
    found = distance.onesided_distances(
        adata,
        groupby="perturbation",
        selected_group="control",
        show_progressbar=False,
        n_jobs=1,  # faster than all
    )
    return found[cells(adata)[2]].to_numpy()


def main() -> None:
    """Check that results are equal, then time both."""
    warnings.simplefilter("ignore")
    # pertpy 1.0.3 imports a name from where statsmodels 0.15 has it no more
    multicomp.multipletests = multipletests
    from pertpy.tools import Distance

    distance = Distance("edistance", obsm_key=KEY)
    for sizes, n in (((100, 200, 2_000), 3), ((200, 200, 3_000), 1)):
        adata = screen(*sizes)
        what = f"{sizes[0]} perturbations x {sizes[1]} cells, {sizes[2]} controls"
        mine = partial(ours, adata)
        peers = {"Distance by perturbation": partial(peer_by_group, adata, distance)}
        if n > 1:
            peers["onesided_distances"] = partial(peer_onesided, adata, distance)
        for name, peer in peers.items():
            np.testing.assert_allclose(mine(), peer(), rtol=1e-6)
            compare(f"{what}, {name}", mine, peer, n=n)


if __name__ == "__main__":
    main()
