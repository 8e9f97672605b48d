"""All models on real data: PerturBench's devel screen, three seeds.

Combinations in K562, and transfer among three glioma lines. Reads
``perturbench_devel/devel.h5ad`` under ``$PERTSCOPE_DATA`` or ``../shared/data``. Run with
``python benchmarks/devel.py``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import anndata as ad
import pandas as pd
from _compare import fit_all, over_seeds
from _data import find

import pertscope as ps

SEEDS = (0, 1, 2)
MAX_EPOCHS = 60
GLIOMA = ("A172", "T98G", "U87MG")


def read() -> ad.AnnData:
    """Read and register the screen."""
    adata = ad.read_h5ad(find("perturbench_devel/devel.h5ad"))
    ps.pp.register(adata, perturbation_key="condition", covariate_keys=["cell_type"])
    return adata


def round_trip(adata: ad.AnnData) -> None:
    """Write a judged screen, read it, and compare the scores."""
    before = ps.get.scores(adata)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "screen.h5ad")
        adata.write_h5ad(path)
        pd.testing.assert_frame_equal(ps.get.scores(ad.read_h5ad(path)), before)
    print("written, read again: scores identical\n")


def main() -> None:
    """Print one table per task."""
    adata = read()
    k562 = adata[adata.obs["cell_type"] == "k562"].copy()
    glioma = adata[adata.obs["cell_type"].isin(GLIOMA)].copy()

    print("K562 combinations, both singles seen (2 val, 2 test conditions per seed)")
    print(over_seeds(k562, lambda a, s: ps.pp.split_combinations(a, seed=s), SEEDS, MAX_EPOCHS))
    print("\nK562 combinations, each part seen somewhere in train")
    print(
        over_seeds(
            k562, lambda a, s: ps.pp.split_combinations(a, seen="parts", seed=s), SEEDS, MAX_EPOCHS
        )
    )
    print("\ntransfer among A172, T98G, U87MG")
    print(
        over_seeds(
            glioma,
            lambda a, s: ps.pp.split_transfer(a, max_fraction=0.5, seed=s),
            SEEDS,
            MAX_EPOCHS,
        )
    )
    ps.pp.split_transfer(glioma, max_fraction=0.5, seed=0)
    fit_all(glioma, 0, 2)
    round_trip(glioma)


if __name__ == "__main__":
    pd.set_option("display.width", 160, "display.max_columns", 20)
    main()
