"""SAMS-VAE: its divergences, its draws, its ablations, and what it recovers."""

from __future__ import annotations

import math

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from tests.helpers import fingerprint
from tests.models.response.floors import above_the_floors, transfer_screen
from tests.models.small import additive_screen, make, small_screen, train, trained
from tests.models.test_known_truth import true_cosine
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional

import pertscope as ps
from pertscope.models.response.sams_vae.module import SAMSVAEModule, kl_bernoulli
from pertscope.nn.normal_divergence import normal_divergence

G, P, C, L, CELLS = 6, 4, 3, 5, 9
SIMPLIFIED = {"sparse": False, "global_latents": False}


def module_of(**settings) -> SAMSVAEModule:
    defaults = {
        "n_hidden": 7,
        "n_latent": L,
        "n_layers": 1,
        "dropout": 0.0,
        "sparse": True,
        "global_latents": True,
        "mean_field": False,
        "mask_prior_probability": 0.2,
        "kl_weight": 1.0,
        "likelihood": "mse",
    }
    module = SAMSVAEModule(G, G, P, C, **(defaults | settings))
    module.n_cells.copy_(torch.tensor([3.0, 5, 2, 7]))
    with torch.no_grad():
        for p in (module.mask_logits, module.effect_raw_sd):
            if p is not None:
                p.copy_(torch.randn_like(p))
    return module


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def batch():
    p = (torch.rand(CELLS, P) > 0.5).float()
    p[0] = 0  # a control
    c = functional.one_hot(torch.randint(C, (CELLS,)), C).float()
    return torch.randn(CELLS, G), p, c


def test_divergences_are_those_of_torch() -> None:
    mean, sd = torch.randn(50), torch.rand(50) + 0.05
    torch.testing.assert_close(
        normal_divergence(mean, sd), kl_divergence(Normal(mean, sd), Normal(0.0, 1.0))
    )
    for prior in (0.01, 0.5, 0.9):
        logits = 4 * torch.randn(50)
        want = kl_divergence(Bernoulli(logits=logits), Bernoulli(torch.tensor(prior)))
        torch.testing.assert_close(
            kl_bernoulli(logits, math.log(prior / (1 - prior))), want, rtol=1e-4, atol=1e-5
        )
    assert kl_bernoulli(torch.tensor(-1.5), -1.5).abs() < 1e-6


def kl_of_perturbations(module) -> torch.Tensor:
    """Divergence of mask and effect of each perturbation, by torch.distributions."""
    total = torch.zeros(len(module.n_cells))
    if module.effect_raw_sd is not None:
        q = Normal(module.effect_mean, functional.softplus(module.effect_raw_sd))
        total += kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    if module.mask_logits is not None:
        prior = Bernoulli(logits=torch.tensor(module.prior_logit))
        total += kl_divergence(Bernoulli(logits=module.mask_logits), prior).sum(1)
    return total


@pytest.mark.parametrize("mean_field", [False, True])
@pytest.mark.parametrize("settings", [{}, {"sparse": False}, {"global_latents": False}, SIMPLIFIED])
def test_loss_is_the_negative_elbo(batch, settings, mean_field) -> None:
    """With `kl_weight` s^2 it is 2 s^2 / G times it, per cell, without the Gaussian's constant."""
    x, p, c = batch
    variance = 0.3
    module = module_of(kl_weight=variance, mean_field=mean_field, **settings).eval()
    with torch.no_grad():
        effects = module.effect_mean
        if module.mask_logits is not None:
            effects = effects * (torch.sigmoid(module.mask_logits) > 0.5)
        shift = p @ effects
        seen = torch.cat([x, c] if mean_field else [x, c, shift], 1)
        mean, raw_sd = module.encoder(seen).chunk(2, 1)
        kl = kl_divergence(Normal(mean, functional.softplus(raw_sd)), Normal(0.0, 1.0)).sum(1)
        z = mean + c @ module.covariate_shift + shift
        likelihood = Normal(module.decoder(z), math.sqrt(variance)).log_prob(x)
        constant = G / 2 * math.log(2 * math.pi * variance)
        elbo = likelihood.sum(1) + constant - kl
        elbo -= p @ (kl_of_perturbations(module) / torch.tensor([3.0, 5, 2, 7]))
        torch.testing.assert_close(
            module.cell_loss(x, p, c), -2 * variance / G * elbo.mean(), rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(module.latent(x, p, c), z)


def test_a_pass_over_the_data_counts_global_divergences_once() -> None:
    adata = small_screen()
    model = make("sams_vae", adata)
    cells = adata.obs[(adata.obs["split"] == "train") & (adata.obs["perturbation"] != "control")]
    parts = [label.split("+") for label in cells["perturbation"]]
    p = torch.tensor([[float(q in s) for q in model.vocabulary.perturbations] for s in parts])
    assert (p.sum(1) == 2).any()
    torch.testing.assert_close(model.module.n_cells, p.sum(0))
    once = kl_of_perturbations(model.module).sum()
    torch.testing.assert_close(model.module.global_kl(p).sum(), once)
    assert (model.module.global_kl(torch.zeros_like(p)) == 0).all()  # controls carry nothing


def test_drawn_masks_are_bernoulli_with_a_gradient() -> None:
    module = module_of(global_latents=False)
    draws = torch.stack([module._sample() for _ in range(4000)])
    is_open = draws != 0
    torch.testing.assert_close(draws[is_open], module.effect_mean.expand_as(draws)[is_open])
    rate = is_open.float().mean(0)
    assert (rate - torch.sigmoid(module.mask_logits)).abs().max() < 0.04
    module._sample().sum().backward()
    assert (module.mask_logits.grad != 0).all()


def test_drawn_effects_are_normal() -> None:
    module = module_of(sparse=False)
    draws = torch.stack([module._sample() for _ in range(4000)])
    sd = functional.softplus(module.effect_raw_sd)
    assert ((draws.mean(0) - module.effect_mean) / sd).abs().max() < 0.08
    assert (draws.std(0) / sd - 1).abs().max() < 0.08


def test_draws_in_training_only(batch) -> None:
    x, p, c = batch
    module = module_of().eval()
    state = torch.get_rng_state()
    outputs = [(module(x, p, c), module.cell_loss(x, p, c)) for _ in range(2)]
    assert all(torch.equal(*pair) for pair in zip(*outputs, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    module.train()
    assert module.cell_loss(x, p, c) != module.cell_loss(x, p, c)


def test_ablations_remove_what_they_name() -> None:
    full = set(module_of().state_dict())
    assert full - set(module_of(sparse=False).state_dict()) == {"mask_logits"}
    assert full - set(module_of(global_latents=False).state_dict()) == {"effect_raw_sd"}
    simplified = module_of(**SIMPLIFIED)
    assert full - set(simplified.state_dict()) == {"mask_logits", "effect_raw_sd"}
    assert full == set(module_of(mean_field=True).state_dict())
    assert (simplified.global_kl(torch.ones(2, P)) == 0).all()


def test_ablated_parts_have_no_effect(batch) -> None:
    x, p, c = batch
    for settings, draws in ((SIMPLIFIED, False), ({"sparse": False}, True), ({}, True)):
        module = module_of(**settings).train()
        samples = torch.stack([module._sample() for _ in range(5)])
        assert (samples.std(0) > 0).any() == draws
        if settings == SIMPLIFIED:  # all that draws is the basal state
            torch.testing.assert_close(samples[0], module.effect_mean)
    weights = module_of(sparse=False).state_dict()
    losses = []
    for prior in (0.01, 0.9):  # of masks that are not there
        module = module_of(sparse=False, mask_prior_probability=prior).eval()
        module.load_state_dict(weights)
        losses.append(module.cell_loss(x, p, c))
    assert torch.equal(*losses)


@pytest.mark.parametrize("mean_field", [False, True])
def test_mean_field_sees_the_cell_alone(batch, mean_field) -> None:
    x, p, c = batch
    module = module_of(mean_field=mean_field).eval()
    with torch.no_grad():
        module.mask_logits.fill_(1.0)  # open
        shift = p @ module.mean_effects() + c @ module.covariate_shift
        basal = module.latent(x, p, c) - shift
        same = torch.isclose(basal, module.latent(x, None, c), rtol=1e-4, atol=1e-5).all(1)
    assert same[0]  # a control
    assert same[p.sum(1) > 0].all() == mean_field


def test_closed_mask_is_no_perturbation(batch) -> None:
    x, p, c = batch
    module = module_of().eval()
    with torch.no_grad():
        module.mask_logits[1] = -1.0
    assert (module.mean_effects()[1] == 0).all()
    without = p.clone()
    without[:, 1] = 0
    torch.testing.assert_close(module(x, p, c), module(x, without, c))


def auroc(score: np.ndarray, true: np.ndarray) -> float:
    n = true.sum()
    return (rankdata(score)[true].sum() - n * (n + 1) / 2) / (n * (len(true) - n))


def matched_auroc(mask: np.ndarray, true: np.ndarray) -> float:
    """Mean AUROC over true factors, each matched to another latent dimension, best in total."""
    table = np.array([[auroc(column, factor) for factor in true.T] for column in mask.T])
    return table[linear_sum_assignment(-table)].mean()


def test_masks_recover_sparse_factors() -> None:
    """x = (z + m * e) W + noise. Matching flatters any mask: shuffled ones say by how much."""
    rng = np.random.default_rng(0)
    n_perturbations, n_factors, n_genes, n_cells = 30, 6, 40, 40
    true = np.zeros((n_perturbations, n_factors), bool)
    for i in range(n_perturbations):
        true[i, rng.choice(n_factors, 1 + i % 2, replace=False)] = True
    size = rng.choice([-1, 1], true.shape) * rng.uniform(2, 4, true.shape)
    effects = np.vstack([true * size, np.zeros(n_factors)])
    label = np.repeat(np.arange(n_perturbations + 1), [n_cells] * n_perturbations + [300])
    z = rng.normal(size=(len(label), n_factors)) + effects[label]
    x = z @ rng.normal(size=(n_factors, n_genes)) / np.sqrt(n_factors)
    x += 0.3 * rng.normal(size=x.shape)
    names = np.array([f"p{i:02d}" for i in range(n_perturbations)] + ["control"])
    obs = {"perturbation": pd.Categorical(names[label]), "split": "train"}
    index = [f"cell{i}" for i in range(len(label))]
    adata = ad.AnnData(x.astype(np.float32), obs=pd.DataFrame(obs, index=index))
    ps.pp.register(adata)

    model = ps.models.SAMSVAE(adata, n_latent=8, n_layers=0, dropout=0.0, mean_field=False)
    train(model, max_epochs=150, lr=0.03, batch_size=100, early_stopping=False)
    mask = torch.sigmoid(model.module.mask_logits).detach().numpy()
    found = matched_auroc(mask, true)
    shuffled = [matched_auroc(mask[rng.permutation(len(mask))], true) for _ in range(20)]
    assert found > 0.85
    assert max(shuffled) < 0.8
    assert (mask > 0.5).mean() < 0.5  # 0.88 at the start


@pytest.mark.parametrize("settings", [{}, SIMPLIFIED])
def test_beats_the_floors(settings) -> None:
    adata = additive_screen()
    ps.tl.fit_sams_vae(
        adata,
        n_hidden=64,
        n_latent=32,
        max_epochs=100,
        lr=5e-3,
        batch_size=64,
        accelerator="cpu",
        **settings,
    )
    found = true_cosine(adata)
    assert found["sams_vae"] > max(found["no_change"], found["mean_effect"]) + 0.25, found


@pytest.mark.parametrize("settings", [{}, SIMPLIFIED])
def test_beats_the_floors_in_transfer(settings) -> None:
    adata = transfer_screen()
    ps.tl.fit_sams_vae(
        adata,
        n_hidden=64,
        n_latent=32,
        max_epochs=60,
        lr=5e-3,
        batch_size=64,
        accelerator="cpu",
        **settings,
    )
    rank, cosine = above_the_floors(adata, "sams_vae")
    assert rank > 0.15, rank
    assert cosine > 0.05, cosine


def test_counts_are_saved(tmp_path) -> None:
    model = trained("sams_vae")
    model.save(tmp_path / "model")
    loaded = ps.models.SAMSVAE.load(tmp_path / "model", small_screen())
    assert (loaded.module.n_cells > 1).all()
    assert torch.equal(loaded.module.n_cells, model.module.n_cells)
    assert fingerprint(loaded.predict()) == fingerprint(model.predict())


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_refuses_settings(share) -> None:
    with pytest.raises(ValueError, match=f"{share} must lie between 0 and 1"):
        ps.models.SAMSVAE(small_screen(), mask_prior_probability=share)
    with pytest.raises(ValueError, match="must not be negative"):
        ps.models.SAMSVAE(small_screen(), kl_weight=-1.0)


def test_uncertainty() -> None:
    """Draws differ where training was unsure, by as much as their standard deviation says."""
    model = train(make("sams_vae", small_screen()), max_epochs=3)
    got = model.predict_with_uncertainty(n_draws=40)
    assert (got.layers["sd"] > 0).any()
    assert got.layers["sd"].shape == got.shape
    again = model.predict_with_uncertainty(n_draws=40)
    np.testing.assert_array_equal(again.layers["sd"], got.layers["sd"])
    before = model.predict().X
    np.testing.assert_array_equal(model.predict().X, before)  # the means are back
    with torch.no_grad():  # nothing is left uncertain
        model.module.effect_raw_sd.fill_(-40)
        model.module.mask_logits.copy_(torch.sign(model.module.mask_logits) * 50)
    sure = model.predict_with_uncertainty(n_draws=5)
    np.testing.assert_allclose(sure.layers["sd"], 0, atol=1e-4)
    np.testing.assert_allclose(sure.X, model.predict().X, atol=1e-4)
    with pytest.raises(ValueError, match="`n_draws`=1 must be at least 2"):
        model.predict_with_uncertainty(n_draws=1)
    plain = train(make("sams_vae", small_screen(), sparse=False, global_latents=False))
    with pytest.raises(ValueError, match="known without uncertainty"):
        plain.predict_with_uncertainty()
