"""Energy distance of all conditions to the controls, against pertpy.

Two screens in 50 components: 100 perturbations x 200 cells and 2,000 controls, 300 x 200 and 4,000.
pertpy's `onesided_distances` keeps the distances of all pairs of cells, so it runs on the small
one only. Its fastest way is to call `Distance` on each perturbation and the controls. Run with
``python benchmarks/bench_energy.py`` where the extra `bench` is installed.
"""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
from _timing import compare

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


def main() -> None:
    """Check that results are equal, then time both."""
    warnings.simplefilter("ignore")
    import statsmodels.sandbox.stats.multicomp as multicomp
    from statsmodels.stats.multitest import multipletests

    multicomp.multipletests = (
        multipletests  # pertpy 1.0.3 imports it from where 0.15 has it no more
    )
    from pertpy.tools import Distance

    for sizes in ((100, 200, 2_000), (300, 200, 4_000)):
        adata = screen(*sizes)
        labels = adata.obs["perturbation"].to_numpy()
        names = [f"p{i}" for i in range(sizes[0])]

        def ours(adata=adata, labels=labels, names=names) -> np.ndarray:
            x = adata.obsm[KEY]
            return energy_to_reference([x[labels == n] for n in names], x[labels == "control"])

        def peer_by_group(adata=adata, labels=labels, names=names) -> np.ndarray:
            x, distance = adata.obsm[KEY], Distance("edistance", obsm_key=KEY)
            return np.array([distance(x[labels == n], x[labels == "control"]) for n in names])

        def peer_onesided(adata=adata, names=names) -> np.ndarray:
            adata.obsp.clear()  # it keeps the distances of the last call
            found = Distance("edistance", obsm_key=KEY).onesided_distances(
                adata,
                groupby="perturbation",
                selected_group="control",
                show_progressbar=False,
                n_jobs=1,  # faster than all
            )
            return found[names].to_numpy()

        what = f"{sizes[0]} perturbations x {sizes[1]} cells, {sizes[2]} controls"
        np.testing.assert_allclose(ours(), peer_by_group(), rtol=1e-6)
        compare(f"{what}, Distance by perturbation", ours, peer_by_group)
        if sizes[0] == 100:
            np.testing.assert_allclose(ours(), peer_onesided(), rtol=1e-6)
            compare(f"{what}, onesided_distances", ours, peer_onesided, n=1)


if __name__ == "__main__":
    main()
