"""Cells whose genes vary in programs, and lose their program when one of its genes is knocked."""

from __future__ import annotations

import contextlib
import io

import anndata as ad
import numpy as np
import pandas as pd

import pertscope as ps

N_PROGRAMS = 4


def program_screen(
    lines: tuple[str, ...] = ("x",),
    *,
    n_genes: int = 32,
    n_knocked: int = 24,
    n_controls: int = 200,
    n_cells: int = 30,
    seed: int = 0,
) -> ad.AnnData:
    """Gene i is of program ``i % 4``; split by :func:`pertscope.pp.split_unseen`."""
    rng = np.random.default_rng(seed)
    genes = [f"g{i:02d}" for i in range(n_genes)]
    loadings = np.eye(N_PROGRAMS)[np.arange(n_genes) % N_PROGRAMS]
    loadings *= rng.uniform(0.7, 1.3, (n_genes, 1))
    base = rng.uniform(3, 5, n_genes)
    effects = 0.3 - 1.5 * loadings.T + 0.2 * rng.normal(size=(N_PROGRAMS, n_genes))
    x, rows = [], []
    for line in lines:
        mean = base + 0.3 * rng.normal(size=n_genes)
        for name in ["control", *rng.permutation(genes)[:n_knocked]]:
            is_control = name == "control"
            n = n_controls if is_control else n_cells
            change = 0 if is_control else effects[genes.index(name) % N_PROGRAMS]
            varied = rng.normal(size=(n, N_PROGRAMS)) @ loadings.T
            x.append(mean + change + varied + 0.4 * rng.normal(size=(n, n_genes)))
            rows += [(line, name)] * n
    obs = pd.DataFrame(rows, columns=["line", "gene"], dtype="category")
    obs.index = obs.index.astype(str)
    adata = ad.AnnData(np.concatenate(x).astype(np.float32), obs, pd.DataFrame(index=genes))
    ps.pp.register(adata, perturbation_key="gene", covariate_keys=["line"])
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_unseen(adata)
    return adata
