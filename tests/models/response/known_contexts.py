"""Screens whose effects depend on what the controls of their line are like."""

from __future__ import annotations

import contextlib
import io

import anndata as ad
import numpy as np
import pandas as pd

import pertscope as ps


def context_screen(
    n: int = 30, *, n_lines: int = 12, n_genes: int = 12, noise: float = 0.1, seed: int = 0
) -> ad.AnnData:
    """Effects of cells: ``(1 + u_c) E_p``, controls ``m + u_c v``; the last line is held out.

    Vectors of the perturbations say all there is to know of E: embedding ``"true"``.
    """
    rng = np.random.default_rng(seed)
    names, lines = [f"p{i:02d}" for i in range(n)], [f"l{i:02d}" for i in range(n_lines)]
    vectors = rng.normal(size=(n, 4))
    effects = vectors @ rng.normal(size=(4, n_genes))
    u = rng.uniform(-0.9, 0.9, n_lines)
    u[-1] = 0.6
    base, direction = rng.uniform(1, 3, n_genes), rng.normal(size=n_genes)
    rows, x = [], []
    for line, strength in zip(lines, u, strict=True):
        control = base + strength * direction
        for name, effect in zip(("control", *names), (0 * base, *effects), strict=True):
            n_cells = 8 if name == "control" else 2
            rows += [(line, name)] * n_cells
            cells = control + (1 + strength) * effect
            x.append(cells + noise * rng.normal(size=(n_cells, n_genes)))
    obs = pd.DataFrame(rows, columns=["line", "perturbation"], dtype="category")
    obs.index = [f"cell{i}" for i in range(len(obs))]
    adata = ad.AnnData(np.concatenate(x).astype(np.float32), obs=obs)
    ps.pp.register(adata, covariate_keys=["line"])
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.add_perturbation_embedding(adata, pd.DataFrame(vectors, index=names), "true")
        ps.pp.split_contexts(adata, held_out=[{"line": lines[-1]}])
    return adata


def as_effects(adata: ad.AnnData) -> ad.AnnData:
    """The same, one row per condition."""
    effects = ps.tl.effects(adata)
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_contexts(effects, held_out=[{"line": str(adata.obs["line"].iloc[-1])}])
    return effects
