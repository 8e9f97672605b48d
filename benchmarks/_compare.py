"""Fit all models on a split screen over several seeds, and tabulate their scores."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING

import pandas as pd

import pertscope as ps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

SHOWN = ["rmse_mean", "cosine_logfc", "rmse_rank_mean", "rmse_transposed_rank_mean"]
BASELINES = ("no_change", "mean_effect", "additive", "bilinear")


def fit_all(adata: AnnData, seed: int, max_epochs: int) -> None:
    """Fit every model, the decoder with each of its inputs, and judge them."""
    for name in BASELINES:
        getattr(ps.tl, f"fit_{name}")(adata)
    ps.tl.fit_mean_effect(adata, per_covariate=False, key_added="mean_effect_global")
    common = {"seed": seed, "max_epochs": max_epochs}
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        ps.tl.fit_linear(adata, lr=5e-3, **common)
        ps.tl.fit_latent_additive(adata, **common)
        for inputs in ("both", "perturbation", "covariates"):
            ps.tl.fit_decoder_only(adata, inputs=inputs, key_added=f"decoder_{inputs}", **common)
    ps.ev.error_metrics(adata)
    with warnings.catch_warnings():
        # a split may leave one condition alone in its covariates: n_conditions tells
        warnings.filterwarnings("ignore", message=".*cannot be ranked.*")
        ps.ev.rank_metrics(adata)


def over_seeds(
    adata: AnnData, split: Callable[[AnnData, int], None], seeds: Sequence[int], max_epochs: int
) -> pd.DataFrame:
    """Mean and standard deviation over seeds of split and model."""
    tables = []
    for seed in seeds:
        screen = adata.copy()
        with contextlib.redirect_stdout(io.StringIO()):  # summaries of splits
            split(screen, seed)
        fit_all(screen, seed, max_epochs)
        tables.append(ps.get.scores(screen, metrics=SHOWN))
    means = pd.concat([t["mean"] for t in tables], keys=list(seeds))
    grouped = means.groupby(level="prediction", sort=False)
    mean, sd = grouped.mean(), grouped.std()
    table = mean.round(3).astype(str) + " +- " + sd.round(3).astype(str)
    return table.loc[mean["rmse_rank_mean"].sort_values().index]
