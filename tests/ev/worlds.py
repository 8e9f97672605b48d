"""Screens with effects to find, and predictions of them that are right, half right, or wrong."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

import pertscope as ps

CONTROL = "control"


def world(
    n_perturbations: int = 6,
    *,
    contexts: tuple[str, ...] = ("x", "y"),
    n_cells: int = 16,
    n_controls: int = 30,
    n_genes: int = 24,
    alone: bool = False,
    dtype: type = np.float32,
    seed: int = 0,
) -> ad.AnnData:
    """Registered screen of strong effects, log-like values with zeros; all of it test.

    With `alone`, the last context has one perturbation only.
    """
    rng = np.random.default_rng(seed)
    base = rng.gamma(2.0, 0.6, n_genes)
    effect = rng.normal(0, 1, (n_perturbations, n_genes))
    parts, rows = [], []
    for context in contexts:
        here = 1 if alone and context == contexts[-1] else n_perturbations
        for i in range(-1, here):
            n = n_controls if i < 0 else n_cells
            mean = base + (effect[i] if i >= 0 else 0)
            spread = rng.uniform(0.3, 0.9, n_genes)
            parts.append(rng.normal(mean, spread, (n, n_genes)))
            rows += [(context, CONTROL if i < 0 else f"p{i}")] * n
    obs = pd.DataFrame(rows, columns=["cell_type", "perturbation"], dtype="category")
    obs["batch"] = pd.Categorical([f"b{i % 2}" for i in range(len(obs))])
    obs["split"] = pd.Categorical(["test"] * len(obs))
    obs.index = [f"cell{i}" for i in range(len(obs))]
    x = sp.csr_matrix(np.maximum(np.concatenate(parts), 0).astype(dtype))
    adata = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(n_genes)]))
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    return adata


def perturbed(adata: ad.AnnData) -> ad.AnnData:
    """The perturbed cells: a perfect prediction."""
    cells = adata[(adata.obs["perturbation"] != CONTROL).to_numpy()]
    return ad.AnnData(
        cells.X.copy(), obs=cells.obs[["cell_type", "perturbation"]].copy(), var=adata.var[[]]
    )


def permuted(adata: ad.AnnData, n_wrong: int | None = None) -> ad.AnnData:
    """Perturbed cells, those of the first `n_wrong` of a context labelled as the next of them."""
    cells = perturbed(adata)
    labels = cells.obs["perturbation"].astype(str)
    for _, here in labels.groupby(cells.obs["cell_type"], observed=True):
        names = sorted(here.unique())[:n_wrong]
        following = dict(zip(names, names[1:] + names[:1], strict=True))
        labels[here.index] = [following.get(label, label) for label in here]
    cells.obs["perturbation"] = pd.Categorical(labels)
    return cells


def means_of(cells: ad.AnnData) -> ad.AnnData:
    """One row per condition, float64."""
    keys = [cells.obs["cell_type"].astype(str), cells.obs["perturbation"].astype(str)]
    frame = pd.DataFrame(cells.X.toarray() if sp.issparse(cells.X) else cells.X)
    frame = frame.astype(np.float64).groupby([k.to_numpy() for k in keys]).mean()
    obs = frame.index.to_frame(name=["cell_type", "perturbation"])
    obs.index = ["|".join(row) for row in frame.index]
    return ad.AnnData(frame.to_numpy(), obs=obs, var=cells.var[[]].copy())


def table_of(adata: ad.AnnData, key: str = "evaluation") -> pd.DataFrame:
    """Score table with text instead of categories, and the full name of every metric."""
    table = adata.uns[key]
    text = [c for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)]
    table = table.astype(dict.fromkeys(text, str))
    return table.assign(name=table["metric"] + "_" + table["statistic"])
