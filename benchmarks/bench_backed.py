"""Peak memory of moments over one million cells x 5,000 genes on disk, 10 % stored.

Writes the file (about 4 GB) to a temporary folder first, in blocks, in another process, so that
writing does not count. Run with ``python benchmarks/bench_backed.py``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from _timing import peak_memory, seconds

import pertscope as ps

N_CELLS, N_GENES, FILLED, N_PERTURBATIONS, BLOCK = 1_000_000, 5_000, 0.10, 100, 50_000


def write(path: str) -> None:
    """Write the screen block by block."""
    rng = np.random.default_rng(0)
    labels = np.array(["control", *(f"p{i}" for i in range(N_PERTURBATIONS - 1))])
    obs = pd.DataFrame(
        {"perturbation": pd.Categorical(labels[rng.integers(0, N_PERTURBATIONS, N_CELLS)])},
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    var = pd.DataFrame(index=[f"g{i}" for i in range(N_GENES)])
    ad.AnnData(obs=obs, var=var).write_h5ad(path)
    per_row = int(N_GENES * FILLED)
    gap = N_GENES // per_row
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        group = file.create_group("X")
        group.attrs.update(
            {
                "encoding-type": "csr_matrix",
                "encoding-version": "0.1.0",
                "shape": (N_CELLS, N_GENES),
            }
        )
        n = N_CELLS * per_row
        data = group.create_dataset("data", (n,), "float32", chunks=(2**20,))
        indices = group.create_dataset("indices", (n,), "int32", chunks=(2**20,))
        group["indptr"] = np.arange(0, n + 1, per_row, dtype=np.int64)
        first = np.arange(0, N_GENES, gap, dtype=np.int32)
        for start in range(0, N_CELLS, BLOCK):
            size = BLOCK * per_row
            at = slice(start * per_row, start * per_row + size)
            shift = rng.integers(0, gap, (BLOCK, per_row), dtype=np.int32)
            indices[at] = (first + shift).ravel()
            data[at] = np.log1p(rng.integers(1, 12, size)).astype(np.float32)


def measure(path: str) -> None:
    """Read the effects of all conditions from disk, and report the peak."""
    adata = ad.read_h5ad(path, backed="r")
    ps.pp.register(adata)
    before = peak_memory()
    time = seconds(lambda: ps.get.effects(adata))
    print(
        f"effects of {N_CELLS:,} x {N_GENES:,} backed ({FILLED:.0%} stored): {time:.1f} s, peak "
        f"{peak_memory():.2f} GiB of the whole process, {before:.2f} GiB before"
    )


def main() -> None:
    """Write and measure, each in a process of its own."""
    if len(sys.argv) == 3:
        {"write": write, "measure": measure}[sys.argv[1]](sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "screen.h5ad"))
        for step in ("write", "measure"):
            subprocess.run([sys.executable, __file__, step, path], check=True)


if __name__ == "__main__":
    main()
