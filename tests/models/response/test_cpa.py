"""CPA: its formulas, who trains when, and whether the adversary does what it is there for."""

from __future__ import annotations

import contextlib
import functools
import io

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from tests.helpers import dense, fingerprint, refused
from tests.models.response.floors import above_the_floors, transfer_screen
from tests.models.small import make, small_screen, train
from tests.models.test_known_truth import true_cosine
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence
from torch.nn import functional

import pertscope as ps
from pertscope.models.adversarial_training import AdversarialPlan
from pertscope.models.response.cpa.module import CPAModule
from pertscope.models.training import TrainingPlan
from pertscope.nn.adversarial_module import AdversarialModule
from pertscope.nn.adversary import Adversary

G, P, C, L, CELLS = 6, 4, (3, 2), 5, 7
NO_WARMUP = {"warmup_epochs": 0, "adversary_steps": 2}


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def batch():
    p = (torch.rand(CELLS, P) > 0.5).float()
    c = torch.cat([functional.one_hot(torch.randint(n, (CELLS,)), n) for n in C], 1).float()
    return torch.randn(CELLS, G), p, c


def cpa_module(**settings) -> CPAModule:
    defaults = {"variational": False, "kl_weight": 0.7, "softplus": False, "dropout": 0.0}
    defaults["likelihood"] = "mse"
    widths = {"n_hidden": 8, "n_latent": L, "n_layers": 1}
    return CPAModule(G, G, P, sum(C), **defaults | widths | settings)


def adversarial_module(*, n_layers=1, **settings) -> AdversarialModule:
    adversary = Adversary(L, P, C, n_hidden=8, n_layers=n_layers)
    weights = {"adversary_weight": 0.5, "penalty_weight": 2.0} | settings
    return AdversarialModule(cpa_module(), adversary, adversary_steps=2, warmup_epochs=0, **weights)


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("softplus", [False, True])
def test_module(batch, variational, softplus) -> None:
    x, p, c = batch
    module = cpa_module(variational=variational, softplus=softplus, dropout=0.5).eval()
    basal = module.encoder(x)[:, :L]
    z = basal + p @ module.perturbation_embeddings(torch.eye(P)) + c @ module.covariate_embeddings()
    want = functional.softplus(module.decoder(z)) if softplus else module.decoder(z)
    torch.testing.assert_close(module(x, p, c), want)
    torch.testing.assert_close(module.latent(x, p, c), z)
    torch.testing.assert_close(module.latent(x, None, c), basal)
    assert module.perturbation_embeddings(torch.eye(P)).shape == (P, L)
    assert module.covariate_embeddings().shape == (sum(C), L)
    loss = functional.mse_loss(want, x)
    if variational:
        q = Normal(basal, (module.encoder(x)[:, L:] / 2).exp())
        loss = loss + 2 * 0.7 / G * kl_divergence(q, Normal(0, 1)).sum(1).mean()
    torch.testing.assert_close(module.cell_loss(x, p, c), loss)


def test_variational_draws_in_training_only(batch) -> None:
    x, p, c = batch
    module = cpa_module(variational=True)
    draws = torch.stack([module.latent(x, None, c) for _ in range(4000)])
    mean, log_variance = module.encoder(x).chunk(2, dim=1)
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=0.1)
    torch.testing.assert_close(draws.std(0), (log_variance / 2).exp(), rtol=0.1, atol=0)
    module.eval()
    assert torch.equal(module.latent(x, p, c), module.latent(x, p, c))


def test_adversary_loss(batch) -> None:
    _, p, c = batch
    adversary = Adversary(L, P, C, n_hidden=8, n_layers=1)
    logits = adversary.logits(torch.randn(CELLS, L))
    assert [tuple(a.shape) for a in logits] == [(CELLS, P), (CELLS, C[0]), (CELLS, C[1])]
    likelihood = Bernoulli(logits=logits[0]).log_prob(p).sum(1)
    for target, block in zip(logits[1:], c.split(C, 1), strict=True):
        likelihood = likelihood + Categorical(logits=target).log_prob(block.argmax(1))
    torch.testing.assert_close(adversary.loss(logits, p, c), -likelihood.mean())


def test_penalty_of_a_linear_adversary() -> None:
    """The gradient of a sum of linear logits is the sum of their weights, for every cell."""
    adversary = Adversary(L, P, C, n_hidden=8, n_layers=0)
    seen = torch.randn(CELLS, L, requires_grad=True)
    penalty = adversary.penalty(adversary.logits(seen), seen)
    want = sum(head[0].weight.sum(0).square().mean() for head in adversary.heads)
    torch.testing.assert_close(penalty, want)
    penalty.backward()  # it can be lowered
    assert all(head[0].weight.grad.abs().sum() > 0 for head in adversary.heads)


def test_adversary_is_blind_to_scale() -> None:
    adversary, z = Adversary(L, P, C, n_hidden=8, n_layers=1), torch.randn(CELLS, L)
    torch.testing.assert_close(
        adversary.look(3 + 1e-3 * z), adversary.look(z), rtol=1e-2, atol=1e-2
    )
    want = (z - z.mean(0)) / z.std(0, correction=0)
    torch.testing.assert_close(adversary.look(z), want)


def step(parameters, loss: torch.Tensor, size: float) -> None:
    parameters = list(parameters)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.sub_(size * gradient)


def test_sides_of_the_game(batch) -> None:
    """To lower its loss, the autoencoder raises the adversary's, and the adversary lowers it."""
    x, p, c = batch
    pairs = (torch.randn(CELLS, G), x, p, c)
    module = adversarial_module(adversary_weight=1e4, penalty_weight=0.0)
    objective, own = module.generator_loss(*pairs)
    before = module.adversary_loss(*pairs)[1].item()
    torch.testing.assert_close(own, module.loss(*pairs))
    torch.testing.assert_close(objective.item(), own.item() - 1e4 * before, rtol=1e-4, atol=0)
    step(module.autoencoder.parameters(), objective, 1e-7)
    fooled = module.adversary_loss(*pairs)[1].item()
    assert fooled > before
    step(module.adversary.parameters(), module.adversary_loss(*pairs)[0], 1e-2)
    assert module.adversary_loss(*pairs)[1].item() < fooled


def test_adversary_step_leaves_the_autoencoder_alone(batch) -> None:
    x, p, c = batch
    module = adversarial_module()
    objective, loss = module.adversary_loss(torch.randn(CELLS, G), x, p, c)
    assert objective > loss
    objective.backward()
    assert all(q.grad is None for q in module.autoencoder.parameters())
    assert all(q.grad is not None for q in module.adversary.heads[0].parameters())


def test_controls_are_told_apart_too(batch) -> None:
    """Half of what the adversary sees are controls: no perturbation, their covariates."""
    x, p, c = batch
    x0 = torch.randn(CELLS, G)
    module = adversarial_module()
    seen = module.adversary.look(module.latent(torch.cat([x, x0]), None, None))
    p2, c2 = torch.cat([p, 0 * p]), torch.cat([c, c])
    want = module.adversary.loss(module.adversary.logits(seen), p2, c2)
    torch.testing.assert_close(module.adversary_loss(x0, x, p, c)[1], want)


# ---- training


def arrays(model, part: str) -> dict[str, bytes]:
    return {k: v.tobytes() for k, v in model._arrays().items() if k.startswith(part)}


def test_turns(monkeypatch) -> None:
    """Warm-up alone, then one step in three is the autoencoder's, counted over epochs."""
    turns = []
    for name in ("loss", "generator_loss", "adversary_loss"):
        method = getattr(AdversarialModule, name)

        def recorded(self, *pairs, _method=method, _name=name):
            if self.training:
                turns.append(_name[0])
            return _method(self, *pairs)

        monkeypatch.setattr(AdversarialModule, name, recorded)
    adata = small_screen()
    model = make("cpa", adata, warmup_epochs=1, adversary_steps=3)
    train(model, max_epochs=4, batch_size=25)
    obs = adata.obs
    n_perturbed = ((obs["split"] == "train") & (obs["perturbation"] != "control")).sum()
    per_epoch = -(-n_perturbed // 25)
    assert per_epoch % 3  # else turns would not cross epochs
    want = "l" * per_epoch + ("gaa" * per_epoch)[: 3 * per_epoch]
    assert "".join(turns) == want


def test_only_whose_turn_it_is_changes() -> None:
    start = make("cpa", small_screen())
    warm = train(make("cpa", small_screen()), max_epochs=3)
    assert arrays(warm, "adversary") == arrays(start, "adversary")
    assert arrays(warm, "autoencoder") != arrays(start, "autoencoder")
    settings = {"warmup_epochs": 0, "adversary_steps": 10_000}  # one step, then the adversary's
    model = train(make("cpa", small_screen(), **settings), max_epochs=4, batch_size=20)
    for loss in ("val_loss", "train_loss"):
        assert len(set(model.history[loss])) == 1
    assert model.history["adversary_loss"].is_monotonic_decreasing
    assert arrays(model, "adversary") != arrays(start, "adversary")


def patch_losses(monkeypatch, *losses: float) -> None:
    left = iter(losses)

    def validation_step(self, batch, index) -> None:
        self.log("val_loss", torch.tensor(next(left)), batch_size=1)

    monkeypatch.setattr(TrainingPlan, "validation_step", validation_step)


def test_warmup_is_never_the_best(monkeypatch) -> None:
    settings = {"warmup_epochs": 2, "adversary_steps": 2}
    patch_losses(monkeypatch, 0.1, 0.2, 0.8)
    third = train(make("cpa", small_screen(), **settings), max_epochs=3)
    patch_losses(monkeypatch, 0.1, 0.2, 0.8, 0.9)
    model = train(make("cpa", small_screen(), **settings), max_epochs=4, patience=1)
    assert len(model.history) == 4  # the stall of the warm-up stopped nothing, the next one does
    assert arrays(model, "") == arrays(third, "")


def test_rate_falls_where_validation_stalls(monkeypatch) -> None:
    patch_losses(monkeypatch, 0.1, 0.2, 0.8, 0.7, 0.9, 0.9, 0.9)
    settings = {"warmup_epochs": 2, "adversary_steps": 2}
    model = train(make("cpa", small_screen(), **settings), max_epochs=7, lr_patience=1)
    np.testing.assert_allclose(model.history["lr"], [1e-3] * 6 + [2e-4])


def test_gradient_clip(monkeypatch) -> None:
    norms = []
    clip = AdversarialPlan.clip_gradients

    def recorded(self, optimizer, **settings) -> None:
        clip(self, optimizer, **settings)
        gradients = [q.grad for g in optimizer.param_groups for q in g["params"]]
        norms.append(torch.stack([g.norm() for g in gradients if g is not None]).norm().item())

    monkeypatch.setattr(AdversarialPlan, "clip_gradients", recorded)
    short = {"max_epochs": 2, "batch_size": 40}
    plain = train(make("cpa", small_screen(), **NO_WARMUP), **short)
    assert min(norms) > 1e-3
    norms.clear()
    clipped = train(make("cpa", small_screen(), **NO_WARMUP), gradient_clip=1e-3, **short)
    assert max(norms) <= 1.001e-3
    assert arrays(clipped, "adversary") != arrays(plain, "adversary")


@pytest.mark.parametrize("variational", [False, True])
def test_same_seed_same_bytes(variational) -> None:
    settings = NO_WARMUP | {"variational": variational, "dropout": 0.2}
    first, second, other = (
        train(make("cpa", small_screen(), seed=seed, **settings), max_epochs=3, batch_size=20)
        for seed in (0, 0, 1)
    )
    assert arrays(first, "") == arrays(second, "") != arrays(other, "")


def test_load_and_continue(tmp_path) -> None:
    model = make("cpa", small_screen(), warmup_epochs=1, adversary_steps=2)
    train(model, max_epochs=3, batch_size=20)
    assert model.history["adversary_loss"].isna().tolist() == [True, False, False]
    model.save(tmp_path / "cpa")
    loaded = ps.models.CPA.load(tmp_path / "cpa", small_screen())
    pd.testing.assert_frame_equal(loaded.history, model.history)
    for each in (model, loaded):
        train(each, max_epochs=3, batch_size=20)
    assert arrays(loaded, "") == arrays(model, "")
    assert fingerprint(loaded.predict()) == fingerprint(model.predict())


def test_without_adversary(monkeypatch) -> None:
    """There is none: no weights of it, no plan that would train it."""
    monkeypatch.delattr(AdversarialPlan, "_step")
    model = train(make("cpa", small_screen(), adversarial=False, warmup_epochs=0))
    assert isinstance(model.module, CPAModule)
    assert not [k for k in model._arrays() if "adversary" in k]
    assert model.history.columns.tolist() == ["train_loss", "val_loss", "lr"]


def test_adversary_is_all_that_it_switches_off() -> None:
    shapes = {
        adversarial: {
            k: v.shape
            for k, v in make("cpa", small_screen(), adversarial=adversarial)._arrays().items()
        }
        for adversarial in (False, True)
    }
    rest = {
        k.removeprefix("autoencoder."): v
        for k, v in shapes[True].items()
        if not k.startswith("adversary.")
    }
    assert rest == shapes[False]


def test_not_variational(batch) -> None:
    """No variances, no divergence, no draws; all else is as it was."""
    x, p, c = batch
    plain, full = cpa_module().train(), cpa_module(variational=True)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (plain, full)]
    assert {k for k in shapes[0] if shapes[0][k] != shapes[1][k]} == {
        "encoder.4.weight",
        "encoder.4.bias",
    }
    assert shapes[0].keys() == shapes[1].keys()
    assert shapes[1]["encoder.4.bias"] == (2 * L,)
    state = torch.get_rng_state()
    loss = plain.cell_loss(x, p, c)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(loss, functional.mse_loss(plain(x, p, c), x))


def test_refusals() -> None:
    adata = small_screen()
    with refused(adata, ValueError, "`adversary_steps`=1 must be at least 2.*adversarial=False"):
        make("cpa", adata, adversary_steps=1)
    for name in ("kl_weight", "adversary_weight", "penalty_weight", "warmup_epochs"):
        with refused(adata, ValueError, f"`{name}`=-1 must be zero or more"):
            make("cpa", adata, **{name: -1})


# ---- latent space


def test_latent_space_by_name() -> None:
    adata = small_screen()
    model = make("cpa", adata)
    for method in (
        model.get_latent_representation,
        model.get_perturbation_embeddings,
        model.get_covariate_embeddings,
    ):
        with pytest.raises(ValueError, match="not trained"):
            method()
    train(model)
    perturbations, covariates = (
        model.get_perturbation_embeddings(),
        model.get_covariate_embeddings(),
    )
    assert perturbations.index.tolist() == list(model.vocabulary.perturbations)
    assert perturbations.index.name == "perturbation"
    assert covariates.index.tolist() == [("cell_type", "A"), ("cell_type", "B")]
    assert perturbations.shape == (5, 4)
    basal = model.get_latent_representation(perturbed=False)
    with torch.inference_mode():
        want = model.module.encode(torch.from_numpy(dense(adata.X)).float(), None)
    np.testing.assert_allclose(basal, want, rtol=1e-5, atol=1e-6)
    for i in (0, 100, adata.n_obs - 1):  # cell by cell, by the names of what was done to it
        parts = adata.obs["perturbation"].iloc[i].replace("control", "").split("+")
        added = perturbations.loc[[q for q in parts if q]].sum()
        added = added + covariates.loc[("cell_type", adata.obs["cell_type"].iloc[i])]
        z = model.get_latent_representation()[i]
        np.testing.assert_allclose(z, basal[i] + added, rtol=1e-4, atol=1e-5)
    assert basal.dtype == np.float32
    again = model.get_latent_representation(adata[::-1], perturbed=False)
    np.testing.assert_allclose(again[::-1], basal, rtol=1e-5, atol=1e-6)


def test_latent_space_of_the_unknown() -> None:
    adata = small_screen()
    model = train(make("cpa", adata))
    other = adata.copy()
    other.obs["perturbation"] = other.obs["perturbation"].cat.rename_categories(
        {model.vocabulary.perturbations[0]: "new"}
    )
    with refused(other, ValueError, r"never saw perturbation\(s\) 'new'"):
        model.get_latent_representation(other)
    assert len(model.get_latent_representation(other, perturbed=False)) == other.n_obs
    with refused(adata, ValueError, "lacks 3 of the model's 20 genes"):
        model.get_latent_representation(adata[:, 3:])


def test_many_cells_and_no_covariates(monkeypatch) -> None:
    adata = small_screen()
    ps.pp.register(adata)
    model = train(make("cpa", adata))
    assert model.get_covariate_embeddings().shape == (0, 4)
    whole = model.get_latent_representation()
    monkeypatch.setattr("pertscope.models.autoencoder.CELLS_PER_CHUNK", 7)
    np.testing.assert_allclose(model.get_latent_representation(), whole, rtol=1e-5, atol=1e-6)


# ---- what it is good for


@functools.cache
def _simulated(hidden: bool):
    adata = ps.datasets.simulate_screen(
        n_perturbations=5 if hidden else 8,
        n_combinations=5 if hidden else 12,
        n_genes=60,
        n_cells_per_condition=60 if hidden else 30,
        n_controls=200,
        covariates=("A", "B") if hidden else ("A",),
        covariate_modulation=0.0,
        covariate_effect=1.0,
        effect_size=1.0,
        shared_effect=0.3,
        guide_efficiency=1.0,
        fraction_interacting=0.0,
        seed=2,
    )
    ps.pp.register(adata, covariate_keys=[] if hidden else ["cell_type"])
    ps.pp.normalize(adata)
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_combinations(adata)
    return adata


def probe(z: np.ndarray, labels: pd.Series) -> float:
    z = (z - z.mean(0)) / z.std(0)
    return cross_val_score(LogisticRegression(max_iter=300), z, labels, cv=3).mean()


def test_adversary_clears_the_basal_state() -> None:
    """Of perturbations, and of nothing else: cell types that the model is not told about stay.

    Of its draws, which are what the adversary sees.
    """
    adata = _simulated(True).copy()
    settings = {
        "n_hidden": 32,
        "n_latent": 8,
        "dropout": 0.0,
        "n_hidden_adversary": 64,
        "adversary_steps": 5,
        "kl_weight": 0.02,
    }
    training = {"batch_size": 32, "early_stopping": False, "lr_patience": 500}
    labels = adata.obs["perturbation"].astype(str)
    singles = ((adata.obs["split"] == "train") & ~labels.str.contains("+", regex=False)).to_numpy()
    labels = labels[singles]
    x = torch.from_numpy(dense(adata.X)[singles]).float()
    found, kept = {}, {}
    for adversarial, epochs in ((False, 20), (True, 100)):  # about as many steps of its own
        model = ps.models.CPA(adata, adversarial=adversarial, **settings)
        model.train(max_epochs=epochs, accelerator="cpu", **training)
        module = model.module.autoencoder if adversarial else model.module
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            z = module.train().latent(x, None, torch.zeros(len(x), 0)).numpy()
        found[adversarial] = probe(z, labels)
        kept[adversarial] = probe(z, adata.obs["cell_type"][singles])
    chance = labels.value_counts(normalize=True).iloc[0]
    assert found[True] < chance + 0.03 < found[False] - 0.07, (found, chance)
    assert kept[True] > 0.65, kept


@pytest.mark.parametrize(
    "settings",
    [{"kl_weight": 0.1}, {"adversarial": False, "kl_weight": 0.1}, {"variational": False}],
)
def test_predicts_combinations(settings) -> None:
    adata = _simulated(False).copy()
    ps.tl.fit_no_change(adata)
    ps.tl.fit_mean_effect(adata)
    ps.tl.fit_cpa(
        adata,
        n_hidden=64,
        n_latent=16,
        n_hidden_adversary=32,
        adversary_steps=3,
        max_epochs=60,
        lr=3e-3,
        batch_size=32,
        accelerator="cpu",
        **settings,
    )
    found = true_cosine(adata)
    assert found["cpa"] > found["no_change"] + 0.4, found
    assert found["cpa"] > found["mean_effect"] + 0.1, found


@pytest.mark.parametrize("adversarial", [False, True])
def test_beats_the_floors_in_transfer(adversarial) -> None:
    adata = transfer_screen()
    ps.tl.fit_cpa(
        adata,
        adversarial=adversarial,
        n_hidden=64,
        n_latent=32,
        n_hidden_adversary=32,
        max_epochs=100 if adversarial else 40,
        lr=3e-3,
        batch_size=64,
        accelerator="cpu",
    )
    rank, cosine = above_the_floors(adata, "cpa")
    assert rank > 0.15, rank
    assert cosine > 0.05, cosine
