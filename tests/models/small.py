"""A small simulated screen, and every model in its smallest form."""

from __future__ import annotations

import contextlib
import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import pertscope as ps
from pertscope.models._registry import MODELS
from pertscope.models.isolation import own_random_state
from pertscope.nn.gene_encoder import GeneEncoder

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.base import ResponseModel


def _gene_encoder() -> GeneEncoder:
    """Not trained, of the genes of :func:`small_screen`."""
    with own_random_state(0):
        return GeneEncoder(
            [f"g{i}" for i in range(20)], n_dims=4, n_layers=1, n_heads=1, n_summaries=2
        )


TINY: dict[str, dict[str, Any]] = {
    "embedding_regression": {"perturbation_embedding": "random"},
    "embedding_fusion": {
        "perturbation_embedding": "random",
        "n_dims": 8,
        "n_layers": 1,
        "n_heads": 2,
    },
    "context_mlp": {"n_hidden": 8},
    "fine_tuning": {"encoder": _gene_encoder(), "n_hidden": [8], "n_cells": 4, "max_controls": 6},
    "latent_additive": {"n_hidden": 8, "n_latent": 4},
    "decoder_only": {"n_hidden": 8},
    "cpa": {"n_hidden": 8, "n_latent": 4, "n_hidden_adversary": 8},
    "sams_vae": {"n_hidden": 8, "n_latent": 4},
    "biolord": {"n_hidden": 8, "n_latent": 4},
    "generative": {
        "n_components": 7,
        "n_per_token": 3,
        "n_hidden": 8,
        "n_layers": 1,
        "n_heads": 2,
        "n_steps": 2,
    },
}
# these train on effects of conditions
EFFECT_NETWORKS = ["embedding_fusion", "context_mlp", "fine_tuning"]
NETWORKS = [name for name, e in MODELS.items() if e.network and name not in EFFECT_NETWORKS]
BASELINES = [name for name, entry in MODELS.items() if not entry.network]
EMBEDDED = [n for n, s in TINY.items() if {"perturbation_embedding", "encoder"} & s.keys()]


@functools.cache
def _screen(split: str) -> AnnData:
    adata = ps.datasets.simulate_screen(
        n_perturbations=5,
        n_combinations=4,
        n_genes=20,
        n_cells_per_condition=8,
        n_controls=16,
        covariates=("A", "B"),
        seed=1,
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    with contextlib.redirect_stdout(io.StringIO()):
        getattr(ps.pp, f"split_{split}")(adata)
        add_random_embedding(adata)
    return adata


def add_random_embedding(adata: AnnData, n_dims: int = 3) -> None:
    """Give every perturbation a vector that says nothing, under the name "random"."""
    screen = ps.get.screen(adata).screen
    names = sorted(
        {p for label in adata.obs[screen.perturbation_key] for p in screen.components(label)}
    )
    vectors = np.random.default_rng(0).normal(size=(len(names), n_dims))
    ps.pp.add_perturbation_embedding(adata, pd.DataFrame(vectors, index=names), "random")


def small_screen(split: str = "combinations") -> AnnData:
    """Registered, normalised, split: 5 perturbations, 4 combinations, 2 cell types, 20 genes."""
    return _screen(split).copy()


@functools.cache
def _additive_screen() -> AnnData:
    adata = ps.datasets.simulate_screen(
        n_perturbations=10,
        n_combinations=24,
        n_genes=60,
        n_cells_per_condition=20,
        n_controls=100,
        covariates=("A",),
        effect_size=0.8,
        shared_effect=0.3,
        guide_efficiency=1.0,
        fraction_interacting=0.0,
        seed=2,
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_combinations(adata)
    for name in ("no_change", "mean_effect"):
        getattr(ps.tl, f"fit_{name}")(adata)
    return adata


def additive_screen() -> AnnData:
    """Strong, purely additive effects of 10 perturbations, combinations held out, two floors."""
    return _additive_screen().copy()


def make(name: str, adata: AnnData, **settings: Any) -> ResponseModel:
    """Model of the registry, tiny, not trained."""
    return MODELS[name].load()(adata, **TINY.get(name, {}), **settings)


def train(model: ResponseModel, **settings: Any) -> ResponseModel:
    """Train on the CPU, two epochs if it is a network."""
    if MODELS[model.name].network:
        settings = {"max_epochs": 2, "accelerator": "cpu", **settings}
    model.train(**settings)
    return model


@functools.cache
def _trained(name: str) -> ResponseModel:
    return train(make(name, small_screen()))


def trained(name: str) -> ResponseModel:
    """Model trained on :func:`small_screen`; shared by tests, which must not change it."""
    return _trained(name)
