"""What every model of the registry must do, whatever it predicts."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from tests.helpers import fingerprint, refused
from tests.models.small import (
    BASELINES,
    EFFECT_NETWORKS,
    NETWORKS,
    make,
    small_screen,
    train,
    trained,
)

import pertscope as ps
from pertscope.models._registry import MODELS

pytestmark = pytest.mark.parametrize("name", MODELS)


def random_states() -> tuple:
    return (random.getstate(), fingerprint(list(np.random.get_state()[1:])), torch.get_rng_state())  # noqa: NPY002


def test_entry(name) -> None:
    entry = MODELS[name]
    model = getattr(ps.models, entry.class_name)
    assert model is entry.load()
    assert model.name == name
    assert entry.class_name in ps.models.__all__
    assert entry.network == (name in (*NETWORKS, *EFFECT_NETWORKS)) != (name in BASELINES)
    assert entry.summary.endswith(".")
    assert entry.limits.endswith(".")
    assert callable(getattr(ps.tl, f"fit_{name}"))


@pytest.mark.parametrize(
    ("split", "kind"),
    [("combinations", sp.csr_matrix), ("transfer", sp.csc_matrix), ("combinations", np.asarray)],
)
def test_setup_train_predict(name, split, kind) -> None:
    adata = small_screen(split)
    adata.X = kind(adata.X.toarray() if kind is np.asarray else adata.X)
    model_class = MODELS[name].load()
    model_class.setup_anndata(adata)
    before, states = fingerprint(adata), random_states()
    model = make(name, adata)
    assert "not trained" in repr(model)
    assert train(model).is_trained
    prediction = model.predict()
    assert fingerprint(adata) == before, "training or predicting changed the screen"
    for now, then in zip(random_states(), states, strict=True):
        assert torch.equal(now, then) if isinstance(now, torch.Tensor) else now == then
    assert "not trained" not in repr(model)

    held_out = adata.obs[adata.obs["split"].isin(["val", "test"])]
    held_out = held_out[held_out["perturbation"] != "control"]
    wanted = sorted(set(zip(held_out["cell_type"], held_out["perturbation"], strict=True)))
    assert (
        list(zip(prediction.obs["cell_type"], prediction.obs["perturbation"], strict=True))
        == wanted
    )
    assert prediction.obs.columns.tolist() == ["cell_type", "perturbation"]
    assert prediction.obs_names.tolist() == [f"{c}|{p}" for c, p in wanted]
    assert prediction.var_names.equals(adata.var_names)
    assert prediction.X.dtype == np.float32
    assert np.isfinite(prediction.X).all()
    assert all(isinstance(d, pd.CategoricalDtype) for d in prediction.obs.dtypes)


def test_setup_registers(name) -> None:
    adata = small_screen()
    del adata.uns["pertscope"]
    model_class = MODELS[name].load()
    with refused(adata, KeyError, "not registered"):
        model_class.setup_anndata(adata)
    model_class.setup_anndata(adata, covariate_keys=["cell_type"])
    assert list(adata.uns["pertscope"]) == ["screen"]
    assert adata.uns["pertscope"]["screen"]["covariate_keys"] == ["cell_type"]


def test_without_covariates(name) -> None:
    adata = small_screen()
    ps.pp.register(adata)
    prediction = train(make(name, adata)).predict()
    assert prediction.obs.columns.tolist() == ["perturbation"]
    assert prediction.n_obs == prediction.obs["perturbation"].nunique() > 0


def test_same_seed_same_bytes(name) -> None:
    model = trained(name)
    alone = fingerprint(model.predict())
    torch.rand(3)  # the global generators are elsewhere now
    first, second = make(name, small_screen()), make(name, small_screen())
    train(first)
    torch.rand(3)
    train(second)
    assert fingerprint(first.predict()) == fingerprint(second.predict()) == alone
    if name not in BASELINES:
        other = train(make(name, small_screen(), seed=1))
        assert fingerprint(other.predict()) != alone


def test_models_do_not_interfere(name) -> None:
    alone = fingerprint(trained(name).predict())
    adata, other_screen = small_screen(), small_screen("transfer")
    other_screen = other_screen[:, 3:].copy()
    model = make(name, adata)
    others = [make(n, other_screen) for n in MODELS]
    for other in others:
        train(other)
    train(model)
    for other in others:
        other.predict()
    assert fingerprint(model.predict()) == alone


def test_refuses_counts(name) -> None:
    adata = small_screen()
    ps.pp.register(adata, covariate_keys=["cell_type"], layer="counts")
    with refused(adata, ValueError, "layer 'counts' holds integer counts, .* `ps.pp.normalize"):
        make(name, adata)


def test_needs_a_split(name) -> None:
    adata = small_screen()
    del adata.obs["split"]
    with refused(adata, KeyError, "no split 'split': call one of `ps.pp.split_transfer`"):
        make(name, adata)


def test_needs_training_cells(name) -> None:
    adata = small_screen()
    perturbed = adata.obs["perturbation"] != "control"
    adata.obs.loc[perturbed, "split"] = "test"
    with refused(adata, ValueError, r"`.obs\['split'\]` has no perturbed cells in 'train'"):
        make(name, adata)


def test_lost_controls(name) -> None:
    """A screen that lost controls after it was registered has no effects there."""
    adata = small_screen()
    is_control = (adata.obs["perturbation"] == "control") & (adata.obs["cell_type"] == "B")
    without = adata[~is_control].copy()
    model = make(name, without)
    with refused(without, ValueError, r"control.*'?B"):
        train(model)
    assert not model.is_trained
    elsewhere = adata.copy()
    elsewhere.obs["split"] = elsewhere.obs["split"].where(~is_control, "test")
    model = make(name, elsewhere)
    with refused(elsewhere, ValueError, r"'B\|"):
        train(model)


@pytest.mark.parametrize("part", ["val", "test"])
def test_empty_part(name, part) -> None:
    adata = small_screen()
    adata.obs["split"] = (
        adata.obs["split"].astype(object).where(adata.obs["split"] != part, "train")
    )
    model = make(name, adata)
    settings = {"early_stopping": False} if name in NETWORKS and part == "val" else {}
    if settings:
        with refused(adata, ValueError, "early stopping needs perturbed cells in 'val'"):
            train(model)
    prediction = train(model, **settings).predict()
    assert 0 < prediction.n_obs < trained(name).predict().n_obs


def test_nothing_held_out(name) -> None:
    adata = small_screen()
    adata.obs["split"] = "train"
    model = train(make(name, adata), **({"early_stopping": False} if name in NETWORKS else {}))
    with pytest.raises(ValueError, match="no perturbed condition lies in 'val' or 'test'"):
        model.predict()
    assert model.predict([model.vocabulary.perturbations[0]]).n_obs == 2
