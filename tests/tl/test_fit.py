"""Every ``fit_*``: trains, keeps its prediction of the held-out conditions, returns the model."""

from __future__ import annotations

import inspect

import anndata as ad
import numpy as np
import pytest
from tests.helpers import fingerprint, refused
from tests.models.small import BASELINES, TINY, make, small_screen, train, trained

import pertscope as ps
from pertscope.models._registry import MODELS

pytestmark = pytest.mark.parametrize("name", MODELS)


def fit(name: str, adata: ad.AnnData, **settings):
    if name not in BASELINES:
        settings = {"max_epochs": 2, "accelerator": "cpu", **settings}
    return getattr(ps.tl, f"fit_{name}")(adata, **TINY.get(name, {}), **settings)


def test_fit(name) -> None:
    adata = small_screen()
    before = fingerprint([adata.X, adata.obs, adata.var, adata.layers])
    model = fit(name, adata)
    assert type(model) is MODELS[name].load()
    assert model.adata is adata
    assert model.is_trained
    assert fingerprint([adata.X, adata.obs, adata.var, adata.layers]) == before
    assert list(adata.uns["pertscope"]["predictions"]) == [name]
    kept = ps.get.prediction(adata, name)
    assert fingerprint(kept) == fingerprint(trained(name).predict())
    assert kept.X.dtype == np.float32


def test_same_defaults_as_the_model(name) -> None:
    function = inspect.signature(getattr(ps.tl, f"fit_{name}")).parameters
    of_model = inspect.signature(MODELS[name].load()).parameters
    shared = [p for p in of_model if p != "adata"]
    assert [p for p in function if p in of_model] == ["adata", *shared]
    for p in shared:
        assert function[p].default == of_model[p].default
        assert function[p].kind is inspect.Parameter.KEYWORD_ONLY
    assert function["key_added"].default == name


def test_settings_arrive(name) -> None:
    settings = {
        "mean_effect": {"per_covariate": False},
        "bilinear": {"n_components": 2, "ridge": 1.0, "perturbation_features": "one-hot"},
        "embedding_regression": {
            "regressor": "elastic_net",
            "join": "stack",
            "n_components": 2,
            "n_neighbors": [1, 2],
            "metric": "cosine",
            "weights": "distance",
            "penalties": [0.1, 0.2],
            "l1_ratio": 0.3,
            "n_hidden": 4,
            "n_inner_folds": 3,
            "seed": 5,
        },
        "embedding_fusion": {
            "kind": "simple",
            "covariates": "token",
            "dropout": 0.3,
            "drop_useless": False,
            "seed": 5,
        },
        "context_mlp": {
            "perturbation_embedding": ["random"],
            "context": "one_hot",
            "n_components": 2,
            "n_layers": 1,
            "dropout": 0.3,
            "seed": 5,
        },
        "fine_tuning": {"head": "knockout", "weights": "frozen", "rank": 3, "seed": 5},
        "linear": {"seed": 5},
        "latent_additive": {
            "n_layers": 2,
            "dropout": 0.3,
            "covariates_in_encoder": True,
            "covariates_in_decoder": False,
            "softplus": True,
            "seed": 5,
        },
        "decoder_only": {
            "inputs": "perturbation",
            "n_layers": 1,
            "dropout": 0.3,
            "softplus": True,
            "seed": 5,
        },
        "cpa": {
            "adversarial": True,
            "variational": True,
            "n_layers": 1,
            "n_layers_adversary": 1,
            "dropout": 0.3,
            "kl_weight": 0.5,
            "adversary_weight": 2.0,
            "penalty_weight": 0.5,
            "adversary_steps": 2,
            "warmup_epochs": 0,
            "softplus": True,
            "seed": 5,
        },
        "sams_vae": {
            "sparse": False,
            "global_latents": False,
            "mean_field": False,
            "mask_prior_probability": 0.1,
            "n_layers": 2,
            "dropout": 0.3,
            "kl_weight": 0.5,
            "seed": 5,
        },
        "biolord": {"n_layers": 2, "dropout": 0.3, "noise": 0.2, "penalty": 1.0, "seed": 5},
        "generative": {
            "path": "schrodinger_bridge",
            "dropout": 0.3,
            "ema_decay": 0.5,
            "sigma": 0.4,
            "seed": 5,
        },
    }.get(name, {})
    adata = small_screen()
    model = fit(name, adata, key_added="mine", **settings)
    arrived = TINY.get(name, {}) | settings
    if "encoder" in arrived:
        arrived["encoder"] = type(arrived["encoder"]).__name__
    assert model.settings.items() >= arrived.items()
    unset = {model.settings[k] for k in model.settings.keys() - arrived.keys()}
    assert unset <= {None, "mse"}  # inputs and likelihoods: tests/models/test_inputs.py
    direct = train(make(name, small_screen(), **settings)).predict()
    assert fingerprint(ps.get.prediction(adata, "mine")) == fingerprint(direct)
    fit(name, adata)
    assert list(adata.uns["pertscope"]["predictions"]) == ["mine", name]
    fit(name, adata, key_added="mine")  # replaces
    assert fingerprint(ps.get.prediction(adata, "mine")) == fingerprint(
        ps.get.prediction(adata, name)
    )
    if name not in BASELINES:
        assert len(model.history) == 2
        with pytest.raises(TypeError, match="max_epoch"):
            fit(name, adata, max_epoch=3)


def test_round_trip(name, tmp_path) -> None:
    adata = small_screen()
    fit(name, adata)
    adata.write_h5ad(tmp_path / "screen.h5ad")
    again = ad.read_h5ad(tmp_path / "screen.h5ad")
    got, want = (ps.get.prediction(a, name) for a in (again, adata))
    np.testing.assert_array_equal(got.X, want.X)
    assert got.obs.astype(str).equals(want.obs.astype(str))
    ps.ev.error_metrics(again)
    assert ps.get.scores(again).index.tolist() == [name]


def test_failures_leave_no_trace(name) -> None:
    adata = small_screen()
    with refused(adata, ValueError, "`key_added`='a/b' cannot be stored"):
        fit(name, adata, key_added="a/b")
    del adata.obs["split"]
    with refused(adata, KeyError, "no split"):
        fit(name, adata)
    adata = small_screen()
    adata.layers["bad"] = adata.X.copy()
    adata.layers["bad"].data[::7] = np.nan
    ps.pp.register(adata, covariate_keys=["cell_type"], layer="bad")
    with refused(adata, ValueError, "NaN|nan"):
        fit(name, adata)


def test_view(name) -> None:
    parent = small_screen()
    before = fingerprint(parent)
    view = parent[:, :10]
    with pytest.warns(UserWarning, match="received a view"):
        fit(name, view)
    assert fingerprint(parent) == before
    assert ps.get.prediction(view, name).n_vars == 10
