"""Generative models: known transports, the mean of the weights, simulated screens."""

from __future__ import annotations

import contextlib
import functools
import io

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from tests.helpers import dense, refused
from tests.models.small import TINY, add_random_embedding, make, small_screen, train, trained
from tests.nn.gaussian_mixtures import NORMAL, TWO, Mixture, energy_distance

import pertscope as ps
from pertscope.models.response.generative import axes
from pertscope.models.response.generative.axes import cell_axes
from pertscope.models.response.generative.module import PATHS, GenerativeModule

SMALL = {"n_per_token": 2, "n_hidden": 32, "n_layers": 2, "n_heads": 2, "dropout": 0.0}


def plane(path: str, **settings) -> GenerativeModule:
    """Module of two genes, which are its components, and two perturbations."""
    how = {"n_components": 2, "ema_decay": 0.98, "n_steps": None, "sigma": 1.0, "seed": 0}
    module = GenerativeModule(2, 2, 0, path=path, **(how | SMALL | settings))
    module.loadings.copy_(torch.eye(2))
    return module


def learn(module: GenerativeModule, pairs, *, n_steps: int = 300, batch: int = 128) -> None:
    """Train by pairs of points of each of the two perturbations."""
    optimizer = torch.optim.AdamW(module.trunk.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    z0, z1, p = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    nothing = torch.empty(batch, 0)
    for _ in range(n_steps):
        chosen = torch.randint(len(z0), (batch,))
        loss = module.loss(z0[chosen], z1[chosen], p[chosen], nothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        module.average()
    module.eval()


def carried(module: GenerativeModule, z0: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module(z0, p[None], torch.empty(1, 0))


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_flow_recovers_known_transports() -> None:
    """Of two perturbations, each a linear map of the plane: point by point, not in the mean."""
    maps = [torch.tensor([[0.6, 0.3], [0.3, 1.1]]), torch.tensor([[1.2, -0.4], [-0.4, 0.5]])]
    shifts = [torch.tensor([1.5, -0.5]), torch.tensor([-1.0, 1.0])]
    z0 = NORMAL.draw(4000, 0)
    told = torch.eye(2)
    pairs = [
        (z0, z0 @ m + s, told[i].expand(4000, 2))
        for i, (m, s) in enumerate(zip(maps, shifts, strict=True))
    ]
    module = plane("flow_matching")
    learn(module, pairs)
    fresh = NORMAL.draw(500, 1)
    for p, m, s in zip(told, maps, shifts, strict=True):
        want = fresh @ m + s
        off = (carried(module, fresh, p) - want).square().mean().sqrt()
        assert off < 0.12
        assert (fresh + (want - fresh).mean(0) - want).square().mean().sqrt() > 3 * off


@pytest.mark.parametrize("path", PATHS)
def test_paths_learn_mixtures(path) -> None:
    """Random pairs, two perturbations with a mixture each: the walk ends in the right one."""
    ends = [TWO, Mixture([(0, 1.2), (0.3, -1.2)], [0.3, 0.3])]
    told = torch.eye(2)
    pairs = [
        (NORMAL.draw(4000, i), end.draw(4000, 2 + i), told[i].expand(4000, 2))
        for i, end in enumerate(ends)
    ]
    module = plane(path, n_steps={"diffusion": 100, "schrodinger_bridge": 100}.get(path))
    learn(module, pairs)
    z0 = NORMAL.draw(2000, 7)
    for i, (p, end) in enumerate(zip(told, ends, strict=True)):
        found, want = carried(module, z0, p), end.draw(2000, 8)
        assert energy_distance(found, want) < 0.01
        assert energy_distance(found, ends[1 - i].draw(2000, 8)) > 0.5
        assert energy_distance(z0, want) > 0.15


def test_mean_of_the_weights() -> None:
    """Of the first steps a mean of few, then a moving one; it is what validation judges."""
    module = plane("flow_matching", ema_decay=0.5)
    start = {k: v.clone() for k, v in module.trunk.state_dict().items()}
    want = None
    for n in range(12):
        for weight in module.trunk.parameters():
            weight.data += torch.randn_like(weight)
        module.average()
        now = module.trunk.enter.weight.data.clone()
        decay = min(0.5, (1 + n) / (10 + n))
        want = now if want is None else decay * want + (1 - decay) * now
        torch.testing.assert_close(module.averaged.module.enter.weight, want)
    pairs = NORMAL.draw(50, 0), TWO.draw(50, 1), torch.eye(2)[:1].expand(50, 2), torch.empty(50, 0)
    states = torch.get_rng_state()
    loss = module.validation_loss(*pairs)
    assert torch.equal(torch.get_rng_state(), states)
    module.trunk.load_state_dict(start)
    assert module.validation_loss(*pairs) == loss
    module.averaged.module.load_state_dict(start)
    # a network that says 0: the mean square of the way
    torch.testing.assert_close(
        module.validation_loss(*pairs), (pairs[1] - pairs[0]).square().mean()
    )


def test_what_components_leave_out_stays() -> None:
    module = plane("flow_matching")
    with torch.no_grad():
        module.loadings.copy_(torch.tensor([[0.6, 0.0], [0.8, 0.0]]))
        module.scale[0] = 2.0
        module.center.copy_(torch.tensor([1.0, -1.0]))
        for weight in module.averaged.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    x0 = NORMAL.draw(20, 0)
    moved = carried(module, x0, torch.tensor([1.0, 0.0])) - x0
    assert moved.norm(dim=1).min() > 1e-3
    torch.testing.assert_close(moved @ torch.tensor([0.8, -0.6]), torch.zeros(20))
    z0 = module.project(x0)
    torch.testing.assert_close(z0[:, 0], (x0 - module.center) @ torch.tensor([0.3, 0.4]))


@pytest.mark.parametrize("path", PATHS[1:])
def test_noise_depends_on_cells_and_seed_alone(path) -> None:
    p, z0 = torch.tensor([1.0, 0.0]), NORMAL.draw(30, 0)
    first, again = (plane(path, n_steps=5), plane(path, n_steps=5))
    again.load_state_dict(first.state_dict())
    other = plane(path, n_steps=5, seed=1)
    other.load_state_dict(first.state_dict())
    found = carried(first, z0, p)
    assert torch.equal(carried(again, z0, p), found)
    assert (carried(other, z0, p) - found).abs().min() > 0
    assert (carried(first, z0 + 1e-6, p) - found).abs().max() > 0.1  # other cells, other noise


def test_axes(monkeypatch) -> None:
    """Those of scikit-learn, of the training cells alone."""
    adata = small_screen()
    cells = np.flatnonzero(adata.obs["split"] == "train")
    x = dense(adata.X)
    pca = PCA(7, svd_solver="full").fit(x[cells])
    found = cell_axes(adata.X, cells, 7, seed=0)
    np.testing.assert_allclose(found.center, pca.mean_, rtol=1e-5)
    np.testing.assert_allclose(found.scale, np.sqrt(pca.explained_variance_), rtol=1e-4)
    np.testing.assert_allclose(np.abs(pca.components_ @ found.loadings), np.eye(7), atol=1e-3)
    module = make("generative", adata).module
    seen = module.project(torch.from_numpy(x[cells].astype(np.float32))).numpy()
    np.testing.assert_allclose(seen.std(axis=0, ddof=1), 1, rtol=1e-3)
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-3)
    monkeypatch.setattr(axes, "MAX_CELLS", 30)
    few = cell_axes(adata.X, cells, 50, seed=0)
    assert few.loadings.shape == (20, 20)
    assert not np.allclose(few.center, found.center)


def test_fewer_axes_than_components() -> None:
    """What the cells do not vary along leads nowhere."""
    adata = small_screen()
    x = dense(adata.X)
    x[:, 3:] = 1.5
    adata.X = x.astype(np.float32)
    model = train(make("generative", adata))
    found = model.predict().X
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 3:], 1.5, rtol=1e-5)


@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_vectors_are_standardised(combine) -> None:
    """By those of training conditions, combinations too; what is constant says nothing."""
    adata = small_screen()
    table = adata.uns["pertscope"]["perturbation_embeddings"]["random"]["table"] + 20.0
    table["once"] = 0.0
    in_train = adata.obs["perturbation"][adata.obs["split"] == "train"]
    held_out = set(adata.obs["perturbation"]) - set(in_train)
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.add_perturbation_embedding(adata, table, "far", combine=combine)
    model = make("generative", adata, perturbation_embedding="far")

    def vectors(labels):
        parts = [table.loc[label.split("+")] for label in labels if label != "control"]
        return np.array([getattr(rows, combine)(axis=0) for rows in parts])

    conditions = adata.obs.loc[in_train.index, ["perturbation", "cell_type"]].drop_duplicates()
    trained = vectors(conditions["perturbation"])
    assert any("+" in label for label in conditions["perturbation"])
    np.testing.assert_allclose(model.module.vector_center, trained.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.module.vector_scale[:-1], trained.std(0)[:-1], rtol=1e-4)
    asked = torch.from_numpy(vectors(held_out).astype(np.float32))
    asked[:, -1] = 1.0  # a bit that no training condition has
    told = model.module._condition(asked, torch.empty(len(asked), 0))
    assert (told[:, -1] == 0).all()
    assert told.abs().max() < 10
    plain = make("generative", adata)
    assert (plain.module.vector_center == 0).all()
    assert (plain.module.vector_scale == 1).all()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"path": "flow"}, r"`path`='flow' must be one of \['flow_matching'"),
        ({"n_hidden": 9}, "`n_hidden`=9 must be a multiple of `n_heads`=2"),
        ({"n_components": 0}, "`n_components`=0 must be positive"),
        ({"n_steps": 0}, "`n_steps`=0 must be positive"),
        ({"ema_decay": 1.0}, "`ema_decay`=1.0 must be at least 0 and less than 1"),
        ({"sigma": 0.0}, "`sigma`=0.0 must be positive"),
        ({"path": "diffusion", "n_steps": 1001}, "`n_steps`=1001 must be at most 1000"),
    ],
)
def test_refusals(settings, match) -> None:
    adata = small_screen()
    with refused(adata, ValueError, match):
        ps.models.Generative(adata, **(TINY["generative"] | settings))


def test_steps_are_whole() -> None:
    adata = small_screen()
    with refused(adata, TypeError, "`n_steps`=10.0 must be a whole number"):
        ps.models.Generative(adata, **(TINY["generative"] | {"n_steps": 10.0}))


def test_needs_populations() -> None:
    """Neither effects, whose controls are one row, nor means of controls."""
    adata = small_screen()
    effects = ps.tl.effects(adata)
    effects.obs["split"] = "train"
    with refused(effects, ValueError, "needs cells, take the screen that the effects were made"):
        make("generative", effects)
    del effects.layers["control_mean"]
    with refused(effects, ValueError, r"no population of 'A\|control', 'B\|control'"):
        make("generative", effects)
    model = make("generative", adata)
    with pytest.raises(ValueError, match="`n_controls`=2: Generative learns from single cells"):
        model.train(n_controls=2)
    assert not model.is_trained


def test_arguments_are_refused_before_training() -> None:
    epochs = []
    with pytest.raises(ValueError, match="`max_controls`=0 must be positive"):
        ps.tl.fit_generative(
            small_screen(),
            **TINY["generative"],
            max_epochs=1,
            accelerator="cpu",
            max_controls=0,
            on_epoch=lambda *_: epochs.append(1),
        )
    assert not epochs


def test_reach() -> None:
    """Diffusion predicts a perturbation that is far away where it is, and not half way."""
    rng = np.random.default_rng(0)
    labels = ["control"] * 200 + [f"p{i}" for i in range(40) for _ in range(20)]
    far = np.array(labels) == "p3"
    x = rng.normal(2.0, 0.3, size=(len(labels), 10)).astype(np.float32)
    x[far, :6] += 6.0
    obs = pd.DataFrame({"perturbation": labels, "split": rng.choice(["train", "val"], len(x))})
    adata = ad.AnnData(x, obs=obs.set_index(obs.index.astype(str)))
    ps.pp.register(adata, perturbation_key="perturbation", control="control")
    settings = TINY["generative"] | {"n_components": 4, "n_hidden": 32, "n_layers": 2}
    settings |= {"path": "diffusion", "n_steps": 40}
    model = ps.models.Generative(adata, **settings)
    z = model.module.project(torch.from_numpy(x[(obs["split"] == "train").to_numpy()]))
    want = (1.5 * z.abs().amax(dim=0)).clamp(min=5.0)
    torch.testing.assert_close(model.module.reach[:4], want, rtol=1e-3, atol=0)
    assert want[0] > 6.5
    model.train(max_epochs=60, batch_size=128, lr=5e-3, accelerator="cpu")
    predicted = model.predict(["p3"], max_controls=100).X[0, :6].mean()
    assert predicted > 0.75 * x[far, :6].mean()


def test_controls_of_the_mean() -> None:
    adata = small_screen()
    settings = {**TINY["generative"], "max_epochs": 2, "accelerator": "cpu"}
    model = ps.tl.fit_generative(adata, max_controls=3, **settings)
    kept = ps.get.prediction(adata, "generative").X
    np.testing.assert_array_equal(kept, model.predict(max_controls=3).X)
    assert not np.allclose(kept, trained("generative").predict().X)


def test_drawn_controls_follow_the_seed() -> None:
    adata = small_screen()
    settings = {**TINY["generative"], "max_epochs": 1, "accelerator": "cpu", "seed": 1}
    model = ps.tl.fit_generative(adata, max_controls=3, **settings)
    kept = ps.get.prediction(adata, "generative").X
    np.testing.assert_array_equal(kept, model.predict(max_controls=3, seed=1).X)
    assert not np.allclose(kept, model.predict(max_controls=3, seed=0).X)


def test_optimal_transport() -> None:
    pytest.importorskip("ot")
    model = train(make("generative", small_screen()), matching="transport")
    assert not np.allclose(model.predict().X, trained("generative").predict().X)


@functools.cache
def _unseen():
    """Unseen perturbations, with vectors that know the effects and vectors that do not."""
    adata = ps.datasets.simulate_screen(
        n_perturbations=40,
        n_genes=60,
        n_cells_per_condition=20,
        n_controls=150,
        covariates=("A",),
        effect_size=0.8,
        shared_effect=0.3,
        guide_efficiency=1.0,
        seed=2,
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    truth = adata.uns["simulation"]["truth"]
    names = truth.obs["perturbation"].astype(str).to_numpy()
    effects = np.asarray(truth.layers["effect"])
    rng = np.random.default_rng(0)
    vectors = effects @ rng.normal(size=(effects.shape[1], 8))
    vectors += 0.1 * vectors.std() * rng.normal(size=vectors.shape)
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.add_perturbation_embedding(adata, pd.DataFrame(vectors, index=names), "known")
        add_random_embedding(adata, 8)
        ps.pp.split_unseen(adata, val_fraction=0.15)
    ps.tl.fit_no_change(adata)
    ps.tl.fit_mean_effect(adata)
    how = {"n_components": 16, "n_per_token": 8, "n_hidden": 32, "n_layers": 2, "n_heads": 2}
    how |= {"max_epochs": 50, "batch_size": 128, "lr": 3e-3, "accelerator": "cpu"}
    for path in PATHS:
        steps = 10 if path == "flow_matching" else 25
        known = how | {"perturbation_embedding": "known", "path": path, "n_steps": steps}
        ps.tl.fit_generative(adata, **known, key_added=path)
    model = ps.tl.fit_generative(adata, **how, perturbation_embedding="random", key_added="random")
    assert len(model.history) > 5
    return adata


@pytest.mark.parametrize("path", PATHS)
def test_beats_the_floors_on_unseen_perturbations(path) -> None:
    adata = _unseen().copy()
    ps.ev.error_metrics(adata)
    ps.ev.rank_metrics(adata)
    mean = ps.get.scores(adata)["mean"]
    floors = mean.loc[["no_change", "mean_effect", "random"]]
    assert mean.loc[path, "rmse_mean"] < 0.93 * floors["rmse_mean"].min(), mean
    for rank in ("rmse_rank_mean", "cosine_rank_logfc"):
        assert mean.loc[path, rank] < 0.3, mean
        assert floors[rank].min() > 0.4, mean


def test_cross_validated() -> None:
    adata = small_screen()
    how = {**TINY["generative"], "max_epochs": 1, "accelerator": "cpu"}
    embeddings = adata.uns["pertscope"]["perturbation_embeddings"]
    embeddings["noise"] = embeddings["random"]
    ps.tl.cross_validate(adata, "generative", "noise", n_folds=2, **how)
    found = ps.get.prediction(adata, "generative_noise")
    labels = adata.obs.query("perturbation != 'control'")[["cell_type", "perturbation"]]
    assert found.n_obs == len(labels.drop_duplicates())
    assert np.isfinite(found.X).all()
