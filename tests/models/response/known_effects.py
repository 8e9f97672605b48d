"""Screens of effects that are a linear function of known vectors of the perturbations."""

from __future__ import annotations

import contextlib
import io

import anndata as ad
import numpy as np
import pandas as pd

import pertscope as ps


def effect_screen(
    n: int = 50,
    *,
    n_genes: int = 12,
    n_dims: int = 6,
    contexts: tuple[str, ...] = ("x",),
    noise: float = 0.3,
    shared: float = 0.5,
    seed: int = 0,
) -> ad.AnnData:
    """One row per condition, zeros for controls; embeddings ``"true"`` and ``"random"``."""
    rng = np.random.default_rng(seed)
    names = [f"p{i:03d}" for i in range(n)]
    vectors = rng.normal(size=(n, n_dims)) * rng.uniform(0.5, 20, n_dims) + rng.normal(size=n_dims)
    z = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    rows, x = [], []
    for context in contexts:
        effects = z @ rng.normal(size=(n_dims, n_genes)) / np.sqrt(n_dims)
        effects += shared + noise * rng.normal(size=effects.shape)
        rows += [(context, "control"), *((context, name) for name in names)]
        x += [np.zeros((1, n_genes)), effects]
    obs = pd.DataFrame(rows, columns=["line", "gene"], dtype="category")
    obs.index = [f"{c}|{p}" for c, p in rows]
    adata = ad.AnnData(np.concatenate(x).astype(np.float32), obs=obs)
    ps.pp.register(adata, perturbation_key="gene", covariate_keys=["line"])
    add(adata, pd.DataFrame(vectors, index=names), "true")
    add(adata, pd.DataFrame(rng.random((n, 100)), index=names), "random")
    return adata


def label_screen(n: int = 50, *, threshold: float = 0.9, **keys) -> ad.AnnData:
    """The same effects as labels, those beyond `threshold` down or up.

    The last gene never moves, the one before never goes down.
    """
    adata = effect_screen(n, shared=0.0, **keys)
    x = np.sign(adata.X) * (np.abs(adata.X) > threshold)
    x[:, -1] = 0
    x[:, -2] = np.maximum(x[:, -2], 0)  # never down
    adata.X = x.astype(np.int8)
    return adata


def add(adata: ad.AnnData, table: pd.DataFrame, name: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.add_perturbation_embedding(adata, table, name)


def split(adata: ad.AnnData, **keys) -> ad.AnnData:
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_unseen(adata, **keys)
    return adata


def table_of(adata: ad.AnnData, name: str) -> pd.DataFrame:
    return adata.uns["pertscope"]["perturbation_embeddings"][name]["table"]


def sides(adata: ad.AnnData, context: str = "x") -> dict[str, list[str]]:
    """Perturbations of a context in train and in test, sorted."""
    here = adata.obs[(adata.obs["line"] == context) & (adata.obs["gene"] != "control")]
    return {part: sorted(here["gene"][here["split"] == part]) for part in ("train", "test")}


def effects_of(adata: ad.AnnData, names: list[str], context: str = "x") -> np.ndarray:
    return np.asarray(adata[[f"{context}|{name}" for name in names]].X, np.float64)
