"""Encoders of genes that are trained further: known truth, any encoder, saving, refusals."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from tests.helpers import fingerprint, refused
from tests.models.response.program_screen import program_screen
from tests.models.small import add_random_embedding, small_screen
from torch import nn

import pertscope as ps
from pertscope.models import FineTuning

LORA = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
WEIGHTS = ["all", "frozen", pytest.param("lora", marks=LORA)]
HEADS = ["indexing", "knockout"]


class Foreign(nn.Module):
    """An encoder as a user brings it: no genes of its own, a layer that adapters can go beside."""

    def __init__(self, n_genes: int, width: int = 5) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.identity = nn.Parameter(torch.randn(n_genes, width))
            self.linear = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x[:, :, None] * self.identity).tanh()


@functools.cache
def _known():
    adata = program_screen(n_genes=48, n_knocked=44, n_cells=15)
    with contextlib.redirect_stdout(io.StringIO()):
        add_random_embedding(adata, 10)
    ps.tl.fit_mean_effect(adata)
    ps.tl.fit_embedding_regression(adata, perturbation_embedding="random")
    encoder = ps.tl.train_gene_encoder(adata, max_epochs=40, batch_size=8, accelerator="cpu")
    return adata, encoder


def quick(adata, **settings) -> FineTuning:
    model = FineTuning(adata, **{"n_hidden": [8]} | settings)
    model.train(max_epochs=2, batch_size=4, accelerator="cpu")
    return model


@pytest.fixture
def cells():
    return program_screen(n_controls=20, n_knocked=10, n_cells=3)


def share_of_floor(adata, encoder, head, weights) -> float:
    """RMSE, where that of the train mean, or of a random embedding, is 1."""
    settings = {"n_hidden": [64], "max_epochs": 25, "lr": 3e-3}
    if head == "knockout":
        settings = {"max_epochs": 60, "lr": 3e-3 if weights == "frozen" else 1e-3}
    adata = adata.copy()
    model = ps.tl.fit_fine_tuning(
        adata,
        encoder=encoder,
        head=head,
        weights=weights,
        batch_size=8,
        accelerator="cpu",
        **settings,
    )
    assert model.history["val_loss"].min() < model.history["val_loss"].iloc[0]
    ps.ev.error_metrics(adata)
    rmse = ps.get.scores(adata)["mean", "rmse_mean"]
    return rmse["fine_tuning"] / min(rmse["mean_effect"], rmse["embedding_regression"])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_beats_the_mean_and_a_random_embedding(head, weights) -> None:
    adata, encoder = _known()
    before = fingerprint([w.numpy() for w in encoder.state_dict().values()])
    most = {"indexing": 0.85 if weights == "frozen" else 0.6, "knockout": 0.95}[head]
    assert share_of_floor(adata, encoder, head, weights) < most
    assert fingerprint([w.numpy() for w in encoder.state_dict().values()]) == before


def test_an_encoder_that_knows_nothing_is_at_the_floor() -> None:
    adata, _ = _known()
    assert share_of_floor(adata, Foreign(adata.n_vars), "indexing", "frozen") > 0.95


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_which_weights_move(head, weights, cells) -> None:
    encoder = Foreign(cells.n_vars)
    model = quick(cells, encoder=encoder, head=head, weights=weights)
    found = model.module.encoder
    moved = {
        name: not torch.equal(found.state_dict()[name], value)
        for name, value in encoder.state_dict().items()
        if name in found.state_dict()
    }
    assert any(moved.values()) == (weights == "all")
    adapters = [name for name in found.state_dict() if "lora" in name]
    assert bool(adapters) == (weights == "lora")
    if adapters:
        assert any(found.state_dict()[name].any() for name in adapters if "lora_B" in name)
        assert {n for n, p in found.named_parameters() if p.requires_grad} == set(adapters)


class Normed(Foreign):
    """An encoder that keeps averages of what it sees in training, and drops some of it."""

    def __init__(self, n_genes: int) -> None:
        super().__init__(n_genes)
        self.norm, self.dropout = nn.BatchNorm1d(n_genes), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(self.dropout(self.norm(x)))


@pytest.mark.parametrize("head", HEADS)
def test_frozen_averages_stay(head, cells) -> None:
    encoder = Normed(cells.n_vars)
    found = quick(cells, encoder=encoder, head=head, weights="frozen").module.encoder
    for name, value in encoder.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    found = quick(cells, encoder=encoder, head="indexing").module.encoder
    assert not torch.equal(found.norm.running_mean, encoder.norm.running_mean)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_foreign_encoder_is_handed_over_again(head, weights, cells, tmp_path) -> None:
    model = quick(cells, encoder=Foreign(cells.n_vars), head=head, weights=weights)
    want = fingerprint(model.predict())
    model.save(tmp_path / "model")
    loaded = FineTuning.load(tmp_path / "model", cells)
    assert repr(loaded) == repr(model)
    with pytest.raises(ValueError, match="is code, which no saved model holds: hand it over"):
        loaded.predict()
    with pytest.raises(ValueError, match="trained again from the encoder as it was: hand it over"):
        loaded.train(max_epochs=1)
    with pytest.raises(ValueError, match="do not fit"):
        loaded.attach_encoder(Foreign(cells.n_vars, width=3))
    loaded.save(tmp_path / "again")
    for path in ("model", "again"):
        loaded = FineTuning.load(tmp_path / path, cells)
        loaded.attach_encoder(Foreign(cells.n_vars))
        assert fingerprint(loaded.predict()) == want
    loaded.train(max_epochs=2, batch_size=4, accelerator="cpu")
    assert fingerprint(loaded.predict()) == want


def test_an_encoder_of_its_own(cells, tmp_path, monkeypatch) -> None:
    from pertscope.models.response.fine_tuning import encoders

    train = functools.partial(encoders.train_masked, max_epochs=1, n_dims=4)
    monkeypatch.setattr(encoders, "train_masked", train)
    model = quick(cells)
    in_train = ((cells.obs["gene"] == "control") & (cells.obs["split"] == "train")).to_numpy()
    np.testing.assert_allclose(
        model._encoder.mean, cells.X[in_train].mean(axis=0, dtype=np.float64), rtol=1e-5
    )
    asked = []
    monkeypatch.setattr(
        encoders, "train_masked", lambda *_, **settings: asked.append(settings) or model._encoder
    )
    assert fingerprint(quick(cells).predict()) == fingerprint(model.predict())
    assert asked == [{"seed": 0, "accelerator": "cpu"}]
    monkeypatch.setattr(encoders, "train_masked", train)
    want = fingerprint(model.predict())
    model.save(tmp_path / "model")
    loaded = FineTuning.load(tmp_path / "model", cells)
    assert fingerprint(loaded.predict()) == want
    loaded.train(max_epochs=2, batch_size=4, accelerator="cpu")
    assert fingerprint(loaded.predict()) == want
    effects = ps.tl.effects(cells)
    effects.obs["split"] = "train"
    with refused(effects, ValueError, "has no control cells to train an encoder on"):
        quick(effects)


@pytest.mark.parametrize("head", HEADS)
def test_genes_that_the_encoder_does_not_know(head, cells) -> None:
    """They have the mean: as perturbations, and for a knockout as genes that are predicted."""
    genes = [*cells.var_names[:24], "elsewhere"]
    held_out = sorted(set(cells.obs["gene"][cells.obs["split"] == "test"]) - {"control"})
    known, unknown = held_out[:2]
    genes = [g for g in genes if g not in {known, unknown}] + [known]
    with pytest.warns(UserWarning, match="no vector in 'genes of the encoder' for"):
        model = quick(cells, encoder=Foreign(len(genes)), encoder_genes=genes, head=head)
    ps.tl.fit_mean_effect(cells)
    mean = ps.get.prediction(cells, "mean_effect")
    found = model.predict()
    same = np.isclose(found.X, mean[found.obs_names].X, atol=1e-5)
    assert same[(found.obs["gene"] == unknown).to_numpy()].all()
    row = same[(found.obs["gene"] == known).to_numpy()][0]
    lacking = ~np.isin(cells.var_names, genes)
    assert not row[~lacking].all()
    assert row[lacking].all() == (head == "knockout")
    unmeasured = model.predict(["elsewhere"])  # a gene is a gene, tried or not
    assert np.isfinite(unmeasured.X).all()


def test_alias(cells) -> None:
    plain = quick(cells, encoder=Foreign(cells.n_vars))
    renamed = cells.copy()
    names = {g: f"sg_{g}" for g in cells.obs["gene"].cat.categories if g != "control"}
    renamed.obs["gene"] = renamed.obs["gene"].cat.rename_categories(names)
    alias = {new: old for old, new in names.items()}
    model = quick(renamed, encoder=Foreign(cells.n_vars), alias=alias)
    np.testing.assert_allclose(model.predict().X, plain.predict().X, atol=1e-6)


def test_alias_of_a_gene_on_both_sides(cells) -> None:
    """Held out under one label and trained on under another, it would be no test."""
    sides = [sorted(set(cells.obs["gene"][cells.obs["split"] == p])) for p in ("train", "test")]
    train, test = (next(g for g in side if g != "control") for side in sides)
    with refused(cells, ValueError, rf"hit the gene of a training one: '{test} = {train}'"):
        quick(cells, encoder=Foreign(cells.n_vars), alias={test: train})


@pytest.fixture
def of_two_covariates():
    """And which cells are of one of their combinations."""
    adata = program_screen(("x", "y"), n_controls=20, n_knocked=10, n_cells=4)
    adata.obs["time"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "late", "early"))
    ps.pp.register(adata, perturbation_key="gene", covariate_keys=["line", "time"])
    return adata, (adata.obs["line"] == "y") & (adata.obs["time"] == "late")


def test_trained_again_on_more(of_two_covariates) -> None:
    """What it knows is what the split says now, not what it said."""
    adata, late = of_two_covariates
    part = adata.obs["split"].copy()
    adata.obs.loc[late, "split"] = None
    model = quick(adata, encoder=Foreign(adata.n_vars))
    adata.obs["split"] = part
    model.train(max_epochs=2, batch_size=4, accelerator="cpu")
    fresh = quick(adata, encoder=Foreign(adata.n_vars))
    np.testing.assert_array_equal(model.predict().X, fresh.predict().X)


def test_a_line_without_training_controls_is_refused_before_training(of_two_covariates) -> None:
    adata, late = of_two_covariates
    adata.obs["split"] = np.where(late, "test", "train")
    told = []
    model = FineTuning(adata, encoder=Foreign(adata.n_vars), n_hidden=[8])
    with pytest.raises(ValueError, match=r"saw no controls of 'y\|late' in training"):
        model.train(max_epochs=1, accelerator="cpu", on_epoch=lambda *loss: told.append(loss))
    assert not told


@pytest.mark.parametrize("head", HEADS)
def test_a_line_with_controls_only(head) -> None:
    """It is told apart by its controls."""
    adata = program_screen(("x", "y", "z"), n_controls=20, n_knocked=10, n_cells=3)
    is_z = (adata.obs["line"] == "z") & (adata.obs["gene"] != "control")
    adata.obs["split"] = np.where(is_z, "test", "train")
    model = FineTuning(adata, encoder=Foreign(adata.n_vars), head=head, n_hidden=[8])
    model.train(max_epochs=10, accelerator="cpu", lr=1e-2)
    of_all = model._means["effects"][-1]
    effect = model.predict().X - adata.X[((adata.obs["line"] == "z") & ~is_z).to_numpy()].mean(0)
    assert np.abs(effect - of_all).max() > 1e-3


def test_a_screen_of_effects_keeps_what_the_controls_were(cells) -> None:
    """Of the mean control a knockout makes the same, whichever screen it comes from."""
    is_control = (cells.obs["gene"] == "control").to_numpy()
    cells.obs.loc[is_control, "split"] = "train"  # the effects are relative to all of them
    settings = {"encoder": Foreign(cells.n_vars), "head": "knockout"}
    of_cells = quick(cells, **settings).predict()
    effects = ps.tl.effects(cells)
    parts = cells.obs.groupby(["line", "gene"], observed=True)["split"].first()
    effects.obs["split"] = [
        "train" if gene == "control" else parts[line, gene]
        for line, gene in effects.obs[["line", "gene"]].to_numpy()
    ]
    of_effects = quick(effects, **settings).predict()
    control = cells.X[is_control].mean(axis=0)
    np.testing.assert_allclose(of_effects.X, of_cells.X - control, atol=1e-3)
    assert np.isfinite(quick(effects, encoder=Foreign(cells.n_vars)).predict().X).all()


def test_combinations_hit_several_genes() -> None:
    adata = small_screen()
    for head in HEADS:
        model = quick(adata, encoder=Foreign(adata.n_vars), head=head)
        pair, single = model.predict(["g1+g2"]), model.predict(["g1"])
        assert not np.allclose(pair.X, single.X)
        np.testing.assert_array_equal(pair.X, model.predict(["g2+g1"]).X)


class Wrong(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class WithoutLinear(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, None].expand(-1, -1, 2)


def test_refusals(cells, monkeypatch) -> None:
    n = cells.n_vars
    refused_settings = [
        ({"head": "mask"}, ValueError, "`head`='mask' must be 'indexing' or 'knockout'"),
        ({"weights": "some"}, ValueError, "`weights`='some' must be one of"),
        ({"rank": 0}, ValueError, "`rank`=0 must be positive"),
        ({"n_cells": 0}, ValueError, "`n_cells`=0 must be positive"),
        ({"n_hidden": [4, 0]}, ValueError, "`n_hidden`=0 must be positive"),
        ({"encoder_genes": ["a"]}, ValueError, "`encoder_genes` names the genes of an `encoder`"),
        ({"encoder": len}, TypeError, "`encoder` must be a `torch.nn.Module`, not builtin"),
        ({"encoder": Wrong()}, ValueError, rf"of 1 cell it made \(1, {n}\)"),
        (
            {"encoder": Foreign(2), "encoder_genes": ["g01", "g01"]},
            ValueError,
            r"1 gene\(s\) of the encoder occur twice: 'g01'",
        ),
        (
            {"encoder": Foreign(2), "encoder_genes": ["ENSG1", "ENSG2"]},
            ValueError,
            "the screen has none of the encoder's 2 genes, 'ENSG1', 'ENSG2', but 'g00'",
        ),
    ]
    for settings, error, match in refused_settings:
        with refused(cells, error, match):
            FineTuning(cells, **settings)
    with refused(cells, ValueError, "not trained takes its `encoder` when it is made"):
        FineTuning(cells).attach_encoder(Foreign(n))
    unknown = sorted(set(cells.var_names) - set(cells.obs["gene"]))
    with refused(cells, ValueError, "none of the .* training condition"):
        quick(cells, encoder=Foreign(2), encoder_genes=unknown[:2])
    monkeypatch.setitem(sys.modules, "peft", None)
    with refused(cells, ImportError, r"needs peft: `pip install 'pertscope\[lora\]'`"):
        quick(cells, encoder=Foreign(n), weights="lora")


@LORA
def test_adapters_need_a_linear_layer(cells) -> None:
    with refused(cells, ValueError, r"WithoutLinear has no `torch\.nn\.Linear` to adapt"):
        quick(cells, encoder=WithoutLinear(), weights="lora")
