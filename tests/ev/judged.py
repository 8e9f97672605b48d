"""A small screen to judge, random predictions of it, and one read of the score table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from tests.helpers import dense, make_screen

import pertscope as ps

if TYPE_CHECKING:
    from collections.abc import Sequence

LABELS = ("A", "B", "C", "D", "A+B", "C+D")


def screen(labels: Sequence[str] = LABELS, **settings) -> ad.AnnData:
    """Registered, all of it test, no predictions yet."""
    adata = make_screen(labels, **{"n_genes": 6, "contexts": ("x", "y")} | settings)
    adata.obs["split"] = pd.Categorical(["test"] * adata.n_obs)
    return adata


def observed_means(adata: ad.AnnData) -> pd.DataFrame:
    """Mean of every condition, controls included: (cell type, perturbation) x genes."""
    keys = [adata.obs["cell_type"].astype(str), adata.obs["perturbation"].astype(str)]
    return (
        pd.DataFrame(dense(adata.X), columns=adata.var_names)
        .groupby([k.to_numpy() for k in keys])
        .mean()
    )


def as_prediction(adata: ad.AnnData, means: pd.DataFrame) -> ad.AnnData:
    """Prediction of these means, in float64 so that oracles can be exact."""
    obs = means.index.to_frame(name=["cell_type", "perturbation"])
    obs.index = ["|".join(row) for row in means.index]
    return ad.AnnData(means.to_numpy(), obs=obs, var=adata.var[[]].copy())


def random_means(adata: ad.AnnData, seed: int = 0, noise: float = 0.3) -> pd.DataFrame:
    """Observed means of the perturbed conditions with noise, never negative."""
    means = observed_means(adata)
    means = means[means.index.get_level_values(1) != "control"]
    change = np.random.default_rng(seed).normal(0, noise, means.shape)
    return (means + change).clip(lower=0)


def with_random(adata: ad.AnnData, **seeds: int) -> ad.AnnData:
    """The same screen with random predictions of these names and seeds."""
    for name, seed in (seeds or {"random": 0}).items():
        ps.pp.add_prediction(adata, as_prediction(adata, random_means(adata, seed)), name)
    return adata


def values(
    adata: ad.AnnData, key: str, metric: str, statistic: str, name: str = "random"
) -> pd.Series:
    """One score per (cell type, perturbation)."""
    table = adata.uns[key].astype(dict.fromkeys(("prediction", "metric", "statistic"), str))
    rows = table[
        (table["prediction"] == name)
        & (table["metric"] == metric)
        & (table["statistic"] == statistic)
    ]
    index = [rows["cell_type"].astype(str), rows["perturbation"].astype(str)]
    return pd.Series(rows["value"].to_numpy(), index=pd.MultiIndex.from_arrays(index))


def statistic_of(adata: ad.AnnData, means: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Statistic of condition means against the observed matched controls, by hand."""
    every = observed_means(adata)
    control = pd.DataFrame([every.loc[c, "control"] for c, _ in means.index], index=means.index)
    if statistic == "mean":
        return means
    if statistic == "effect":
        return means - control
    return np.log2(means + 0.1) - np.log2(control + 0.1)
