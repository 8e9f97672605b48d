"""What a line is like, from its controls: effects where nothing was tried."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.helpers import fingerprint, refused
from tests.models.response.known_contexts import as_effects, context_screen

import pertscope as ps
from pertscope.models.control_means import controls_by_context

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

BY_NAME = "train has no perturbed condition of 'line=l07'"
SHORT = {"accelerator": "cpu", "lr": 1e-2, "max_epochs": 40, "n_hidden": 32, "dropout": 0.0}
HELD_OUT = "l07"


@functools.cache
def _screen() -> ad.AnnData:
    return as_effects(context_screen(16, n_lines=8))


def screen() -> ad.AnnData:
    return _screen().copy()


def errors(adata: ad.AnnData) -> pd.Series:
    ps.ev.error_metrics(adata, metrics=["l2"], statistics=["effect"])
    return ps.get.scores(adata)["mean"]["l2_effect"]


def test_predicts_a_line_where_nothing_was_tried() -> None:
    """From its controls; neither from a line's name nor from what was tried elsewhere alone."""
    adata = screen()
    true = {"perturbation_embedding": "true"}
    ps.tl.fit_context_mlp(adata, key_added="ours", **SHORT, **true)
    ps.tl.fit_context_mlp(adata, key_added="one_hot_perturbations", **SHORT)
    with pytest.warns(UserWarning, match=BY_NAME):
        ps.tl.fit_context_mlp(
            adata, key_added="one_hot_context", context="one_hot", **SHORT, **true
        )
    ps.tl.fit_additive(adata)
    ps.tl.fit_mean_effect(adata, per_covariate=False)
    assert set(ps.get.prediction(adata, "ours").obs["line"]) == {HELD_OUT}
    error = errors(adata)
    assert error["ours"] < 0.6 * error["additive"] < 0.6 * error["mean_effect"]
    assert error["one_hot_perturbations"] < 0.7 * error["additive"]
    assert error["one_hot_context"] > 1.5 * error["ours"]


def test_cells_and_their_effects_are_the_same() -> None:
    """Screens of effects carry what the controls were."""
    cells = context_screen(6, n_lines=4)
    control = cells.obs["perturbation"] == "control"
    cells.obs.loc[control, "split"] = "train"  # effects have one control, which is in train
    effects = as_effects(cells)
    for got, want in zip(
        controls_by_context(effects, ps.get.screen(effects).screen),
        controls_by_context(cells, ps.get.screen(cells).screen),
        strict=True,
    ):
        if got.dtype.kind == "U":
            assert got.tolist() == want.tolist() == ["l00", "l01", "l02", "l03"]
        else:
            np.testing.assert_allclose(got, want, rtol=1e-6)
            np.testing.assert_allclose(
                got[1], cells[control & (cells.obs["line"] == "l01")].X.mean(0), rtol=1e-6
            )
    short = SHORT | {"max_epochs": 3}
    models = [ps.tl.fit_context_mlp(a, **short) for a in (cells, effects)]
    got, want = (m.predict([p]).X for m, p in zip(models, ("p01", "p01"), strict=True))
    base = controls_by_context(cells, ps.get.screen(cells).screen)[1]
    np.testing.assert_allclose(got - base, want, atol=1e-4)


def test_context_is_a_pca_of_the_lines_to_train_on() -> None:
    adata = screen()
    model = ps.models.ContextMLP(adata, n_components=3, n_hidden=4)
    model.train(max_epochs=1, accelerator="cpu")
    names, means = controls_by_context(adata, model.screen)
    train = names != HELD_OUT
    centred = means - means[train].mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(centred[train].T, bias=True))
    want = centred @ axes[:, ::-1][:, :3] / np.sqrt(values[-1])
    got = model._fixed["scores"]
    assert model._fixed["contexts"].tolist() == names.tolist()
    np.testing.assert_allclose(np.abs(got), np.abs(want), atol=1e-5)


def test_few_lines() -> None:
    """One to train on says nothing of contexts, and that is no error."""
    adata = screen()
    adata = adata[adata.obs["line"].isin(["l00", HELD_OUT])].copy()
    with pytest.warns(UserWarning, match="nothing can be spared to validate on"):
        model = ps.tl.fit_context_mlp(adata, max_epochs=2, n_hidden=4, accelerator="cpu")
    assert model._fixed["scores"].shape == (2, 0)
    assert model.predict().n_obs == 16


def test_a_value_that_is_known_by_name_alone_is_the_mean_of_the_others() -> None:
    """Nothing untrained comes in: the vector of its name could be any."""
    adata = screen()
    with pytest.warns(UserWarning, match=BY_NAME):
        model = ps.tl.fit_context_mlp(adata, context="one_hot", n_hidden=4, max_epochs=2)
    before = model.predict().X
    lines = list(model.vocabulary.covariates["line"])
    weights = model.module.network[0].weight
    n_perturbations = sum(model.widths)
    column = n_perturbations + lines.index(HELD_OUT)
    with torch.no_grad():
        weights[:, column] = 9.0
        np.testing.assert_array_equal(model.predict().X, before)
        others = [n_perturbations + i for i in range(len(lines)) if lines[i] != HELD_OUT]
        model._fixed["covariates"] = np.eye(len(lines), dtype=np.float32)
        weights[:, column] = weights[:, others].mean(dim=1)
    np.testing.assert_allclose(model.predict().X, before, atol=1e-5)


def test_one_hot_perturbations_are_all_trained_on() -> None:
    adata = screen()
    model = ps.models.ContextMLP(adata, **{k: SHORT[k] for k in ("n_hidden", "dropout")})
    module, build = [], model._build

    def kept(mean):
        made = build(mean)
        module.append(made.network[0].weight.detach().clone())
        return made

    model._build = kept
    model.train(max_epochs=3, accelerator="cpu", val_fraction=0.8)
    moved = (model.module.network[0].weight - module[0]).abs().amax(dim=0)[: sum(model.widths)]
    assert (moved > 0).all()


def test_unseen_perturbations_are_refused_before_training() -> None:
    adata = screen()
    late = (adata.obs["perturbation"] == "p03") & (adata.obs["line"] != HELD_OUT)
    adata.obs.loc[late, "split"] = None
    told = []
    with pytest.raises(ValueError, match=r"never saw perturbation\(s\) 'p03'"):
        ps.tl.fit_context_mlp(adata, **SHORT, on_epoch=lambda *loss: told.append(loss))
    assert not told


def test_perturbations_without_a_vector(tmp_path) -> None:
    adata = screen()
    table = adata.uns["pertscope"]["perturbation_embeddings"]["true"]["table"].iloc[2:]
    ps.pp.add_perturbation_embedding(adata, table, "few")
    with pytest.warns(UserWarning, match=r"no vector in 'few' for 14 of 112 training .*; for 2 of"):
        model = ps.tl.fit_context_mlp(
            adata, perturbation_embedding="few", max_epochs=2, n_hidden=4, accelerator="cpu"
        )
    prediction = ps.get.prediction(adata, "context_mlp")
    trained = adata[(adata.obs["split"] == "train") & (adata.obs["perturbation"] != "control")]
    for name in ("p00", "p01"):  # of a line without any effects: the mean of all
        got = prediction[f"{HELD_OUT}|{name}"].X[0]
        np.testing.assert_allclose(got, trained.X.mean(axis=0), atol=1e-5)
    of_line = trained[trained.obs["line"] == "l02"].X.mean(axis=0)
    np.testing.assert_allclose(model.predict(["p00"])["l02|p00"].X[0], of_line, atol=1e-5)
    model.save(tmp_path / "model")
    loaded = ps.models.ContextMLP.load(tmp_path / "model", adata)
    assert fingerprint(loaded.predict()) == fingerprint(model.predict())
    ps.tl.fit_context_mlp(
        adata, perturbation_embedding=["few", "true"], max_epochs=2, accelerator="cpu"
    )  # one of them has a vector for each


def test_refusals() -> None:
    adata = screen()
    for settings, match in (
        ({"context": "name"}, "`context`='name' must be 'controls' or 'one_hot'"),
        ({"n_components": 0}, "`n_components`=0"),
        ({"n_layers": -1}, "`n_layers`=-1 must not be negative"),
        ({"dropout": 1.5}, "`dropout`=1.5 must be at least 0 and below 1"),
        ({"perturbation_embedding": []}, "must name embeddings, each once"),
    ):
        with refused(adata, ValueError, match):
            ps.tl.fit_context_mlp(adata, **settings)
    del adata.layers["control_mean"]
    with refused(adata, ValueError, "the controls are zeros: .* where `ps.tl.effects` keeps it"):
        ps.tl.fit_context_mlp(adata)
    with pytest.warns(UserWarning, match=BY_NAME):
        ps.tl.fit_context_mlp(adata, context="one_hot", max_epochs=1, accelerator="cpu")
