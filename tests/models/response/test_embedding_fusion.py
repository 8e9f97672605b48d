"""Several embeddings of which one says something: attention finds it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from tests.helpers import fingerprint, refused
from tests.models.response.known_contexts import as_effects, context_screen
from tests.models.response.known_effects import add, effect_screen, split, table_of

import pertscope as ps
from pertscope.models.response.embedding_fusion import full_module
from pertscope.models.response.embedding_fusion.full_module import FullFusionModule
from pertscope.models.response.embedding_fusion.module import FusionModule

if TYPE_CHECKING:
    import anndata as ad

SMALL = {"n_dims": 24, "n_layers": 2, "n_heads": 2}
SHORT = {**SMALL, "max_epochs": 60, "lr": 5e-3, "accelerator": "cpu"}
TINY = {"n_dims": 8, "n_layers": 1, "n_heads": 2, "max_epochs": 2, "accelerator": "cpu"}


@functools.cache
def _screen() -> ad.AnnData:
    adata = effect_screen(60, contexts=("x", "y"), noise=0.1)
    add(adata, table_of(adata, "random").iloc[:, :5] ** 2, "useless")
    controls = (adata.obs["gene"] == "control").to_numpy()
    adata.layers["control_mean"] = np.where(
        controls[:, None], np.random.default_rng(1).normal(size=adata.shape), 0
    ).astype(np.float32)
    return split(adata)


def screen() -> ad.AnnData:
    return _screen().copy()


def errors(adata: ad.AnnData) -> pd.Series:
    ps.ev.error_metrics(adata, metrics=["l2"], statistics=["effect"])
    return ps.get.scores(adata)["mean"]["l2_effect"]


@pytest.mark.parametrize("kind", ["simple", "full"])
def test_finds_what_there_is_to_know(kind) -> None:
    adata = screen()
    for key, names in {
        "one": ["true"],
        "fused": ["random", "true", "useless"],
        "nothing": ["random"],
    }.items():
        ps.tl.fit_embedding_fusion(
            adata, perturbation_embedding=names, kind=kind, key_added=key, **SHORT
        )
    ps.tl.fit_mean_effect(adata)
    error = errors(adata)
    assert error["one"] < 0.6 * error["mean_effect"]
    assert error["fused"] < 0.7 * error["mean_effect"]
    assert 0.9 < error["nothing"] / error["mean_effect"] < 1.15


@pytest.mark.parametrize("kind", ["simple", "full"])
def test_useless_embeddings_are_left_out(kind, tmp_path) -> None:
    adata, noise = screen(), [f"noise_{i}" for i in range(5)]
    names = table_of(adata, "true").index
    for i, name in enumerate(noise):
        values = np.random.default_rng(i).normal(size=(len(names), 30))
        add(adata, pd.DataFrame(values, index=names), name)
    fit = functools.partial(ps.tl.fit_embedding_fusion, adata, kind=kind, **SHORT)
    fit(perturbation_embedding=["true"], key_added="alone")
    model = fit(perturbation_embedding=[*noise[:2], "true", *noise[2:]], key_added="crowd")
    assert model.fused == ["true"]
    all_of_them = fit(
        perturbation_embedding=[*noise, "true"], drop_useless=False, key_added="drowned"
    )
    assert all_of_them.fused == [*noise, "true"]
    error = errors(adata)
    assert error["crowd"] == error["alone"] < 0.8 * error["drowned"]
    model.save(tmp_path / "model")
    loaded = ps.models.EmbeddingFusion.load(tmp_path / "model", adata)
    assert loaded.fused == ["true"]
    np.testing.assert_array_equal(loaded.predict().X, model.predict().X)
    assert fit(perturbation_embedding=noise).fused  # something is left, however little it says


def test_full_predicts_a_line_where_nothing_was_tried() -> None:
    adata = as_effects(context_screen(16, n_lines=8))
    settings = {"perturbation_embedding": "true", **SHORT}
    ps.tl.fit_embedding_fusion(adata, kind="full", key_added="full", **settings)
    with pytest.warns(UserWarning, match="no perturbed condition of 'line=l07'"):
        ps.tl.fit_embedding_fusion(adata, key_added="simple", **settings)
    ps.tl.fit_mean_effect(adata, per_covariate=False)
    error = errors(adata)
    assert error["full"] < 0.6 * error["simple"]
    assert error["simple"] < error["mean_effect"]


def test_a_value_that_is_known_by_name_alone_is_the_mean_of_the_others() -> None:
    adata = as_effects(context_screen(6, n_lines=4))
    with pytest.warns(UserWarning, match="no perturbed condition of 'line=l03'"):
        model = ps.tl.fit_embedding_fusion(adata, perturbation_embedding="true", **TINY)
    before = model.predict().X
    with torch.no_grad():
        model.module.covariates[3] = 9.0
        np.testing.assert_array_equal(model.predict().X, before)
        model.module.covariates[:3] += torch.randn(3, 8)
    assert not np.allclose(model.predict().X, before)


def module_and_inputs(*, as_token: bool) -> tuple[FusionModule, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    made = FusionModule(
        (2, 3), 2, mean=torch.arange(5.0), n_dims=6, n_layers=2, n_heads=2, dropout=0.2,
        as_token=as_token,
    ).eval()  # fmt: skip
    there = torch.tensor([[True, True], [True, False], [False, True]])
    return made, (torch.randn(3, 5), there, torch.eye(2)[[0, 1, 1]])


@pytest.mark.parametrize("as_token", [False, True])
def test_module(as_token) -> None:
    module, inputs = module_and_inputs(as_token=as_token)
    with torch.no_grad():
        torch.testing.assert_close(module(*inputs), torch.arange(5.0).expand(3, -1))  # the mean
        torch.nn.init.normal_(module.head.weight)
        found = module(*inputs)
        vectors, there, covariates = inputs
        other = vectors.clone()
        other[1, 2:], other[2, :2] = 9.0, -9.0  # what is missing is not looked at
        torch.testing.assert_close(module(other, there, covariates), found)
        other[0, 0] += 1
        assert not torch.allclose(module(other, there, covariates)[0], found[0])
        assert not torch.allclose(module(vectors, there, covariates.flip(1)), found)


def test_full_module(monkeypatch) -> None:
    monkeypatch.setattr(full_module, "SOURCE_DROPOUT", 0.0)
    torch.manual_seed(0)
    contexts = torch.randn(2, 5)
    module = FullFusionModule(
        (2, 3), contexts, mean=torch.zeros(5), n_dims=6, n_layers=1, n_heads=2, dropout=0.0
    )
    vectors, place = torch.randn(3, 5), torch.tensor([0, 1, 1])
    there = torch.tensor([[True, True], [True, False], [False, True]])
    with torch.no_grad():
        torch.nn.init.normal_(module.head[-1].weight)
        found, lost = module.outputs(vectors, there, place)
        assert not torch.allclose(found, module(vectors, there, 1 - place))
        tokens = torch.stack(
            [
                module.cls.expand(3, -1),
                module.sources[0](vectors[:, :2]),
                module.sources[1](vectors[:, 2:]),
            ],
            dim=1,
        )
        mask = torch.cat([torch.ones(3, 1, dtype=bool), there], dim=1)
        x = module.blocks[0](tokens, mask)
        code = module.encoder(contexts)
        line = (code / code.norm(dim=1, keepdim=True))[place]
        torch.testing.assert_close(module.head(torch.cat([x[:, 0], line], dim=1)), found)
        back = (module.back[0](x[:, 1]), module.back[1](x[:, 2]))
        each = [
            (b[known] - v[known]).square().mean(dim=1)
            for b, v, known in zip(back, (vectors[:, :2], vectors[:, 2:]), there.T, strict=True)
        ]
        want = 9.41 * torch.cat(each).mean()
        want = want + 9.56 * (module.decoder(code) - contexts).square().mean()
        torch.testing.assert_close(lost, want)


def test_whole_embeddings_are_dropped_in_training(monkeypatch) -> None:
    torch.manual_seed(0)
    module = FullFusionModule(
        (2,), torch.randn(1, 5), mean=torch.zeros(5), n_dims=6, n_layers=1, n_heads=2, dropout=0.0
    )
    torch.nn.init.normal_(module.head[-1].weight)
    inputs = torch.randn(1, 2).expand(400, -1), torch.ones(400, 1, dtype=bool)
    place = torch.zeros(400, dtype=int)
    monkeypatch.setattr(full_module, "SOURCE_DROPOUT", 0.3)
    with torch.no_grad():
        shown = module.eval()(*inputs, place)[0]
        same = (module.train()(*inputs, place) - shown).abs().amax(dim=1) < 1e-5
    assert 0.6 < same.float().mean().item() < 0.8


def test_missing_embeddings(tmp_path) -> None:
    adata = screen()
    add(adata, table_of(adata, "true").drop(["p003", "p004"]), "a")
    add(adata, table_of(adata, "useless").drop(["p003", "p005"]), "b")
    with pytest.warns(UserWarning, match=r"no vector in .*'a', 'b'.* for 2 of .*'x\|p003'"):
        model = ps.tl.fit_embedding_fusion(
            adata, perturbation_embedding=["a", "b"], drop_useless=False, **TINY
        )
    held_out = set(adata.obs["gene"][adata.obs["split"] == "test"])
    of_train = (adata.obs["split"] == "train") & (adata.obs["line"] == "x")
    mean = adata[of_train & (adata.obs["gene"] != "control")].X.mean(axis=0)
    found = model.predict(["p003", "p004", "p005", *sorted(held_out - {"control"})[:2]])
    np.testing.assert_allclose(found["x|p003"].X[0], mean, atol=1e-6)
    assert not np.allclose(found["x|p004"].X[0], mean, atol=1e-6)
    model.save(tmp_path / "model")
    loaded = ps.models.EmbeddingFusion.load(tmp_path / "model", adata)
    assert fingerprint(loaded.predict(["p003", "p004"])) == fingerprint(
        model.predict(["p003", "p004"])
    )


def test_full_is_saved(tmp_path) -> None:
    adata = screen()
    model = ps.tl.fit_embedding_fusion(
        adata, perturbation_embedding=["true", "useless"], kind="full", **TINY
    )
    model.save(tmp_path / "model")
    loaded = ps.models.EmbeddingFusion.load(tmp_path / "model", adata)
    assert fingerprint(loaded.predict()) == fingerprint(model.predict())


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"kind": "half"}, "`kind`='half' must be one of"),
        ({"covariates": "no"}, "`covariates`='no' must be 'added' or 'token'"),
        ({"kind": "full", "covariates": "token"}, "`covariates`='token' is for `kind`='simple'"),
        ({"n_dims": 99}, "`n_dims`=99 must be a multiple of `n_heads`=5"),
        ({"n_layers": 0}, "`n_layers`=0"),
        ({"dropout": 1.0}, "`dropout`=1.0 must be at least 0 and below 1"),
        ({"perturbation_embedding": None}, "must name the embeddings to fuse"),
        ({"perturbation_embedding": ["true", "true"]}, "must name embeddings, each once"),
    ],
)
def test_refusals(settings, match) -> None:
    adata = screen()
    with refused(adata, ValueError, match):
        ps.tl.fit_embedding_fusion(adata, **({"perturbation_embedding": "true"} | settings))
