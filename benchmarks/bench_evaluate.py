"""Time and peak memory of judging predictions of means on 1,600,000 cells x 4,000 genes on disk.

All default metrics that need no cells, with floors and ceilings. Writes the file (about 5 GB) to a
temporary folder first. Run with ``python benchmarks/bench_evaluate.py``.
"""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from _backed_screen import in_own_processes, write
from _timing import peak_memory, seconds

import pertscope as ps

N_CELLS, N_GENES, N_PREDICTIONS = 1_600_000, 4_000, 3


def measure(path: str) -> None:
    """Judge three random predictions, and report the peak."""
    adata = ad.read_h5ad(path, backed="r")
    ps.pp.register(adata)
    effects = ps.get.effects(adata)
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"perturbation": effects.index}, index=effects.index)
    for i in range(N_PREDICTIONS):
        means = np.abs(rng.normal(0.2, 0.1, effects.shape)).astype(np.float32)
        ps.pp.add_prediction(adata, ad.AnnData(means, obs=obs, var=adata.var[[]]), f"random{i}")
    time = seconds(lambda: ps.ev.evaluate(adata, split=None))
    table = adata.uns["evaluation"]
    print(
        f"{table['metric'].nunique()} metrics of {N_PREDICTIONS} predictions of {len(effects)} "
        f"conditions, {N_CELLS:,} x {N_GENES:,} backed, with floors and ceilings: {time:.0f} s, "
        f"peak {peak_memory():.2f} GiB of the whole process"
    )


if __name__ == "__main__":
    in_own_processes(lambda path: write(path, N_CELLS, N_GENES), measure)
