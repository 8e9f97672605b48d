"""A large screen on disk, written block by block, so that no benchmark holds it in memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 50_000


def write(
    path: str, n_cells: int, n_genes: int, *, n_perturbations: int = 100, filled: float = 0.1
) -> None:
    """Write a screen of log-normalised values in CSR, `filled` of them stored."""
    rng = np.random.default_rng(0)
    labels = np.array(["control", *(f"p{i}" for i in range(n_perturbations - 1))])
    obs = pd.DataFrame(
        {"perturbation": pd.Categorical(labels[rng.integers(0, n_perturbations, n_cells)])},
        index=[f"cell{i}" for i in range(n_cells)],
    )
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    ad.AnnData(obs=obs, var=var).write_h5ad(path)
    per_row = int(n_genes * filled)
    gap = n_genes // per_row
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        group = file.create_group("X")
        group.attrs.update(
            {
                "encoding-type": "csr_matrix",
                "encoding-version": "0.1.0",
                "shape": (n_cells, n_genes),
            }
        )
        n = n_cells * per_row
        data = group.create_dataset("data", (n,), "float32", chunks=(2**20,))
        indices = group.create_dataset("indices", (n,), "int32", chunks=(2**20,))
        group["indptr"] = np.arange(0, n + 1, per_row, dtype=np.int64)
        first = np.arange(0, n_genes, gap, dtype=np.int32)[:per_row]
        for start in range(0, n_cells, BLOCK):
            size = BLOCK * per_row
            at = slice(start * per_row, start * per_row + size)
            shift = rng.integers(0, gap, (BLOCK, per_row), dtype=np.int32)
            indices[at] = (first + shift).ravel()
            data[at] = np.log1p(rng.integers(1, 12, size)).astype(np.float32)


def in_own_processes(write_screen: Callable[[str], None], measure: Callable[[str], None]) -> None:
    """Write, then measure, each in a process of its own, so that writing does not count."""
    if len(sys.argv) == 3:
        {"write": write_screen, "measure": measure}[sys.argv[1]](sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "screen.h5ad"))
        for step in ("write", "measure"):
            subprocess.run([sys.executable, sys.argv[0], step, path], check=True)
