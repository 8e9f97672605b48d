"""Screens whose scores are known, without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tests.models.response.known_effects import effect_screen

from pertscope._core.score_tables import write_scores

if TYPE_CHECKING:
    import anndata as ad

QUANTILES = np.linspace(0, 1, 21)


def scored_screen(
    gains: dict[str, float],
    *,
    n: int = 40,
    contexts: tuple[str, ...] = ("x", "y"),
    n_folds: int = 4,
    metric: str = "l2_effect",
    ceiling: float | None = 2.0,
    spread: float = 0.5,
    seed: int = 0,
) -> ad.AnnData:
    """Effect screen with scores about 5, better by `gains` on average, and a ceiling below them."""
    rng = np.random.default_rng(seed)
    adata = effect_screen(n, contexts=contexts, n_genes=3)
    numbers = adata.obs["gene"].astype(str).str[1:]
    fold = numbers.where(numbers.str.isdigit())
    adata.obs["fold"] = pd.Categorical([f if pd.isna(f) else str(int(f) % n_folds) for f in fold])
    name, statistic = metric.rsplit("_", 1)
    sign = 1 if name in ("cosine", "pearson") else -1
    here = adata.obs.loc[adata.obs["gene"] != "control", ["line", "gene"]].astype(str)
    here = here.rename(columns={"gene": "perturbation"}).reset_index(drop=True)
    here = here.assign(statistic=statistic, metric=name)
    hard = 5 + rng.normal(size=len(here))
    parts = []
    for prediction, gain in {"train_mean": 0.0, **gains}.items():
        noise = spread * rng.normal(size=len(here)) * (prediction != "train_mean")
        value = hard + sign * gain + noise
        parts.append(here.assign(prediction=prediction, value=value))
    write_scores(adata, "error_metrics", pd.concat(parts, ignore_index=True))
    if ceiling is not None:
        best = hard + sign * ceiling
        adata.uns["ceiling"] = pd.concat(
            [here.assign(quantile=q, value=best + q - 0.5) for q in QUANTILES], ignore_index=True
        )
    return adata


def rows_of(adata: ad.AnnData, prediction: str, summary: str = "mean", **where) -> pd.DataFrame:
    """Rows of a table of gaps."""
    table = adata.uns["gap_closed"]
    rows = table[(table["prediction"] == prediction) & (table["summary"] == summary)]
    for key, value in where.items():
        rows = rows[rows[key] == value]
    return rows
