"""Time and peak memory of the experimental error of a large screen.

The hierarchical bootstrap, 10 draws of batches x 10 of cells, of 2,000 perturbations x 6,640 genes
in 56 batches: 240,000 random cells, of which a tenth of the values is stored, in memory. Two errors
are taken of every replicate, that of the effect and that of the batch-adjusted one; a few of one
replicate are compared with plain loops over draws of batches first. Run with
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
from pertscope.ev._comparison import Options
from pertscope.ev._judged import observe
from pertscope.ev._replicates import resample_batches

SIZES = (2_000, 6_640, 240_000, 10)
N_BATCHES, FILLED = 56, 0.1
METRICS = ["l2_effect", "l2_ba_ate"]
SECONDS, GIB = 15 * 60, 4.0
N_CHECKED = 4


def write(path: str, sizes: list[int]) -> None:
    """Write the cells."""
    n_perturbations, n_genes, n_cells, _ = sizes
    adata = random_screen(n_cells, n_genes, n_perturbations + 1, filled=FILLED)
    batch = np.random.default_rng(1).integers(0, N_BATCHES, n_cells)
    adata.obs["batch"] = pd.Categorical([f"b{b}" for b in batch])
    adata.write_h5ad(path)


def check(adata: ad.AnnData) -> None:
    """Compare effects of a few conditions in one replicate with plain loops."""
    judged = observe(adata, None).take(np.arange(N_CHECKED))
    options = Options(batch_size="small")
    (pair,) = resample_batches(judged, options, draw=0, own_controls=True, n_inner=1)
    repeats = pair.predicted.populations.repeats
    for side, times in ((pair.predicted, repeats), (pair.observed, np.ones_like(repeats))):
        found = [pair.values(side, statistic) for statistic in ("effect", "ba_ate")]
        for i, condition in enumerate(judged.conditions.table["perturbation"]):
            wanted = by_loop(adata, condition, times)
            for one, other in zip(found, wanted, strict=True):
                np.testing.assert_allclose(one[i], other, atol=1e-9)
    print(f"effects of {len(pair)} conditions in one replicate are those of a plain loop")


def by_loop(adata: ad.AnnData, condition: str, repeats: np.ndarray) -> tuple[np.ndarray, ...]:
    """Effect over all cells, and over batches, of which each draw is one of its own."""
    of_cells, of_batches = [], []
    for label in (condition, "control"):
        draws = []
        for b in adata.obs["batch"].cat.categories:
            of = (adata.obs["perturbation"] == label) & (adata.obs["batch"] == b)
            rows = np.flatnonzero(of.to_numpy())
            drawn = np.repeat(rows, repeats[rows])
            draws += np.split(drawn, len(drawn) // len(rows)) if len(drawn) else []
        cells = [adata.X[drawn].toarray().astype(np.float64) for drawn in draws]
        of_cells.append(np.concatenate(cells).mean(axis=0))
        of_batches.append(np.mean([x.mean(axis=0) for x in cells], axis=0))
    return of_cells[0] - of_cells[1], of_batches[0] - of_batches[1]


def measure(path: str, sizes: list[int]) -> None:
    """Print time, peak and what was found; fails if the whole size takes more than it may."""
    adata = ad.read_h5ad(path)
    ps.pp.register(adata, batch_key="batch")
    check(adata)
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
