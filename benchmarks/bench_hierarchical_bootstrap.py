"""Time and peak memory of the experimental error of a large screen.

The hierarchical bootstrap, 10 draws of batches x 10 of cells, of 2,000 perturbations x 6,640 genes
in 56 batches: 240,000 random cells, of which a tenth of the values is stored, in memory. Two errors
are taken of every replicate, that of the effect and that of the batch-adjusted one. Run with
``python benchmarks/bench_hierarchical_bootstrap.py [N_PERTURBATIONS] [N_GENES] [N_CELLS]
[N_DRAWS]``, for smaller sizes; N_DRAWS of each level.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from _timing import peak_memory, random_screen, seconds

import pertscope as ps

SIZES = (2_000, 6_640, 240_000, 10)
N_BATCHES, FILLED = 56, 0.1
METRICS = ["l2_effect", "l2_ba_ate"]
SECONDS, GIB = 15 * 60, 4.0


def write(path: str, sizes: list[int]) -> None:
    """Write the cells."""
    n_perturbations, n_genes, n_cells, _ = sizes
    adata = random_screen(n_cells, n_genes, n_perturbations + 1, filled=FILLED)
    batch = np.random.default_rng(1).integers(0, N_BATCHES, n_cells)
    adata.obs["batch"] = pd.Categorical([f"b{b}" for b in batch])
    adata.write_h5ad(path)


def measure(path: str, sizes: list[int]) -> None:
    """Print time, peak and what was found; fails if the whole size takes more than it may."""
    adata = ad.read_h5ad(path)
    ps.pp.register(adata, batch_key="batch")
    n_draws = sizes[-1]
    print(
        f"{sizes[0]:,} perturbations x {adata.n_vars:,} genes x {N_BATCHES} batches, "
        f"{adata.n_obs:,} cells, {adata.X.nnz / 1e6:.0f} million values: {peak_memory():.2f} GiB"
    )
    draws = {"n_outer": n_draws, "n_inner": n_draws}
    taken = seconds(
        lambda: ps.ev.ceiling(adata, metrics=METRICS, method="hierarchical-bootstrap", **draws)
    )
    table = adata.uns["ceiling"]
    at = table[table["quantile"].round(2) == 0.9]
    name = at["metric"].astype(str) + "_" + at["statistic"].astype(str)
    print("experimental error, median:", at.groupby(name)["value"].median().round(3).to_dict())
    print(
        f"hierarchical bootstrap {n_draws} x {n_draws} of {len(METRICS)} metrics: {taken:.0f} s, "
        f"{taken / n_draws**2:.2f} s per replicate, peak {peak_memory():.2f} GiB of the process"
    )
    if sizes == list(SIZES) and (taken > SECONDS or peak_memory() > GIB):
        sys.exit(f"more than {SECONDS} s or {GIB} GiB")


def main() -> None:
    """Write, then measure, each in a process of its own, so that writing does not count."""
    given = [int(a) for a in sys.argv[1:]]
    sizes = [*given, *SIZES[len(given) :]]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "screen.h5ad"))
        for step in ("write", "measure"):
            command = [sys.executable, __file__, step, path, *map(str, sizes)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    if sys.argv[1:2] in (["write"], ["measure"]):
        {"write": write, "measure": measure}[sys.argv[1]](sys.argv[2], list(map(int, sys.argv[3:])))
    else:
        main()
