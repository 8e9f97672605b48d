"""Biolord: its formula, its noise, its penalty, any number of covariates, and what it finds."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from tests.helpers import fingerprint
from tests.models.response.floors import above_the_floors, transfer_screen
from tests.models.small import TINY, additive_screen, make, small_screen, train, trained
from tests.models.test_known_truth import true_cosine
from torch.nn import functional

import pertscope as ps
from pertscope.models.response.biolord.module import BiolordModule

G, P, L, CELLS = 6, 4, 5, 9


def module_of(sizes=(3, 2), **settings) -> BiolordModule:
    defaults = {
        "n_hidden": 7,
        "n_latent": L,
        "n_layers": 1,
        "dropout": 0.0,
        "noise": 0.1,
        "penalty": 10.0,
        "likelihood": "mse",
    }
    return BiolordModule(G, G, P, sizes, **(defaults | settings))


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def batch_of(sizes=(3, 2)):
    p = (torch.rand(CELLS, P) > 0.5).float()
    codes = [torch.randint(n, (CELLS,)) for n in sizes]
    blocks = [functional.one_hot(i, n) for i, n in zip(codes, sizes, strict=True)]
    c = torch.cat([torch.zeros(CELLS, 0), *blocks], 1)
    return torch.randn(CELLS, G), p, c, codes


@pytest.mark.parametrize("sizes", [(), (3,), (3, 2), (1, 4, 2)])
def test_formula(sizes) -> None:
    x, p, c, codes = batch_of(sizes)
    module = module_of(sizes).eval()
    state = module.encoder(x)
    known = [e[i] for e, i in zip(module.embeddings, codes, strict=True)]
    joined = torch.cat([state, module.perturbation_encoder(p), *known], 1)
    assert joined.shape == (CELLS, (2 + len(sizes)) * L)
    want = module.decoder(joined)
    torch.testing.assert_close(module(x, p, c), want)
    torch.testing.assert_close(module.latent(x, p, c), joined)
    torch.testing.assert_close(module.latent(x, None, c), state)
    loss = ((want - x).square().sum() + 10.0 * state.square().sum()) / (CELLS * G)
    torch.testing.assert_close(module.cell_loss(x, p, c), loss)


def test_noise_in_training_only() -> None:
    x, p, c, _ = batch_of()
    module = module_of().eval()
    state = torch.get_rng_state()
    outputs = [(module(x, p, c), module.cell_loss(x, p, c)) for _ in range(2)]
    assert all(torch.equal(*pair) for pair in zip(*outputs, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    clean = module.cell_loss(x, p, c)
    module.train()
    assert module.cell_loss(x, p, c) != module.cell_loss(x, p, c)
    silent = module_of(noise=0.0).train()
    silent.load_state_dict(module.state_dict())
    assert torch.equal(silent.cell_loss(x, p, c), clean)


def test_noise_has_the_wanted_size() -> None:
    """Of a decoder that hands the state on, the error is the noise."""
    x, p, c, _ = batch_of(())
    x, p, c = (t.repeat(500, 1) for t in (x, p, c))
    module = module_of((), n_latent=G, n_layers=0, noise=0.3, penalty=0.0).train()
    with torch.no_grad():
        for layer, weight in ((module.encoder[0], torch.eye(G)), (module.decoder[0], None)):
            layer.bias.zero_()
            layer.weight.zero_()
            layer.weight[:, :G] = torch.eye(G) if weight is None else weight
    assert module.cell_loss(x, p, c).item() == pytest.approx(0.3**2, rel=0.05)


def test_without_penalty_the_loss_is_the_error() -> None:
    x, p, c, _ = batch_of()
    free, held = (module_of(penalty=penalty).eval() for penalty in (0.0, 10.0))
    held.load_state_dict(free.state_dict())  # the penalty has no weights of its own
    torch.testing.assert_close(free.cell_loss(x, p, c), functional.mse_loss(free(x, p, c), x))
    assert held.cell_loss(x, p, c) > free.cell_loss(x, p, c)
    torch.testing.assert_close(held(x, p, c), free(x, p, c))


def test_penalty_shortens_the_basal_state() -> None:
    adata = small_screen()
    lengths = []
    for penalty in (0.0, 1e4):
        model = train(make("biolord", adata, penalty=penalty), max_epochs=10, lr=0.01)
        lengths.append((model.get_latent_representation(perturbed=False) ** 2).sum(1).mean())
    assert lengths[1] < 0.05 * lengths[0]


def test_embeddings_are_named() -> None:
    adata = small_screen()
    adata.obs["dose"] = pd.Categorical(["low", "high"] * (adata.n_obs // 2))
    ps.pp.register(adata, covariate_keys=["cell_type", "dose"])
    model = train(make("biolord", adata))
    table = model.get_covariate_embeddings()
    pairs = [("cell_type", "A"), ("cell_type", "B"), ("dose", "high"), ("dose", "low")]
    assert table.index.tolist() == pairs
    assert table.shape == (4, 4)
    perturbations = model.get_perturbation_embeddings()
    assert perturbations.index.tolist() == list(model.vocabulary.perturbations)
    one = torch.zeros(1, 5)
    one[0, 2] = 1
    torch.testing.assert_close(
        torch.tensor(perturbations.to_numpy()[2]), model.module.perturbation_encoder(one)[0]
    )


def test_no_covariates() -> None:
    adata = small_screen()
    ps.pp.register(adata)
    model = train(make("biolord", adata))
    assert model.get_covariate_embeddings().empty
    assert model.get_latent_representation().shape == (adata.n_obs, 2 * 4)


def test_beats_the_floors() -> None:
    adata = additive_screen()
    ps.tl.fit_biolord(
        adata,
        n_hidden=64,
        n_latent=32,
        max_epochs=60,
        lr=5e-3,
        batch_size=64,
        accelerator="cpu",
    )
    found = true_cosine(adata)
    assert found["biolord"] > max(found["no_change"], found["mean_effect"]) + 0.25, found


def test_beats_the_floors_in_transfer() -> None:
    adata = transfer_screen()
    ps.tl.fit_biolord(
        adata,
        n_hidden=64,
        n_latent=32,
        max_epochs=40,
        lr=5e-3,
        batch_size=64,
        accelerator="cpu",
    )
    rank, cosine = above_the_floors(adata, "biolord")
    assert rank > 0.15, rank
    assert cosine > 0.05, cosine


def test_round_trip(tmp_path) -> None:
    model = trained("biolord")
    model.save(tmp_path / "model")
    loaded = ps.models.Biolord.load(tmp_path / "model", small_screen())
    assert fingerprint(loaded.predict()) == fingerprint(model.predict())
    assert loaded.settings == model.settings
    assert loaded.settings | TINY["biolord"] == loaded.settings


@pytest.mark.parametrize("name", ["noise", "penalty"])
@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_refuses_settings(name, value) -> None:
    with pytest.raises(ValueError, match=f"`{name}`={value} must not be negative"):
        ps.models.Biolord(small_screen(), **{name: value})
