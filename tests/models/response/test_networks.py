"""Every network against its formula, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.helpers import dense
from tests.models.small import NETWORKS, TINY, make, small_screen, train, trained
from torch.nn import functional

import pertscope as ps
from pertscope.models.response.decoder_only.module import DecoderOnlyModule
from pertscope.models.response.latent_additive.module import LatentAdditiveModule
from pertscope.models.response.linear.module import LinearModule

G, P, C, CELLS = 6, 4, 3, 5
WIDTHS = {"n_hidden": 7, "n_layers": 2, "dropout": 0.5, "softplus": False}


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def batch():
    p = (torch.rand(CELLS, P) > 0.5).float()
    c = functional.one_hot(torch.randint(C, (CELLS,)), C).float()
    return torch.randn(CELLS, G), p, c


def by_hand(layers: torch.nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """Linear, layer norm, ReLU (no dropout at prediction), repeated; then linear."""
    state = layers.state_dict()
    for i in range(0, len(layers) - 1, 4):
        x = x @ state[f"{i}.weight"].T + state[f"{i}.bias"]
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
        x = (x * state[f"{i + 1}.weight"] + state[f"{i + 1}.bias"]).clamp(min=0)
    last = len(layers) - 1
    return x @ state[f"{last}.weight"].T + state[f"{last}.bias"]


def test_linear(batch) -> None:
    x0, p, c = batch
    module = LinearModule(G, P, C)
    w, b = module.effect.weight, module.effect.bias
    assert w.shape == (G, P + C)
    torch.testing.assert_close(module(x0, p, c), x0 + p @ w[:, :P].T + c @ w[:, P:].T + b)


@pytest.mark.parametrize("in_encoder", [False, True])
@pytest.mark.parametrize("in_decoder", [False, True])
@pytest.mark.parametrize("softplus", [False, True])
def test_latent_additive(batch, in_encoder, in_decoder, softplus) -> None:
    x0, p, c = batch
    settings = WIDTHS | {"softplus": softplus}
    module = LatentAdditiveModule(
        G,
        G,
        P,
        C,
        n_latent=3,
        likelihood="mse",
        covariates_in_encoder=in_encoder,
        covariates_in_decoder=in_decoder,
        **settings,
    ).eval()
    z = by_hand(module.encoder, torch.cat([x0, c], 1) if in_encoder else x0)
    z = z + by_hand(module.perturbation_encoder, p)
    assert z.shape == (CELLS, 3)
    x = by_hand(module.decoder, torch.cat([z, c], 1) if in_decoder else z)
    want = torch.log1p(torch.exp(x)) if softplus else x
    torch.testing.assert_close(module(x0, p, c), want)


@pytest.mark.parametrize("inputs", ["both", "perturbation", "covariates"])
@pytest.mark.parametrize("softplus", [False, True])
def test_decoder_only(batch, inputs, softplus) -> None:
    x0, p, c = batch
    module = DecoderOnlyModule(
        G,
        P,
        C,
        uses_perturbation=inputs != "covariates",
        uses_covariates=inputs != "perturbation",
        **WIDTHS | {"softplus": softplus},
    ).eval()
    z = {"both": torch.cat([p, c], 1), "perturbation": p, "covariates": c}[inputs]
    x = by_hand(module.decoder, z)
    want = torch.log1p(torch.exp(x)) if softplus else x
    torch.testing.assert_close(module(x0, p, c), want)
    assert torch.equal(module(x0, p, c), module(100 - x0, p, c))  # whatever the controls


@pytest.mark.parametrize("name", NETWORKS)
def test_encode_then_decode_is_forward(name, batch) -> None:
    module = trained(name).module
    x0 = torch.randn(CELLS, 20)
    p, c = torch.tensor([[1.0, 0, 1, 0, 0]]), torch.tensor([[0.0, 1]])
    rows = p.expand(CELLS, -1), c.expand(CELLS, -1)
    got = module.decode(module.encode(x0, c), p, c)
    torch.testing.assert_close(got, module(x0, *rows))
    torch.testing.assert_close(module(x0, p, c), module(x0, *rows))
    assert got.shape == x0.shape


@pytest.mark.parametrize("name", NETWORKS)
def test_prediction_is_the_mean_of_the_module_over_controls(name) -> None:
    model, adata = trained(name), small_screen()
    prediction = model.predict()
    for condition, x in zip(prediction.obs.itertuples(), prediction.X, strict=True):
        is_control = (adata.obs["perturbation"] == "control") & (
            adata.obs["cell_type"] == condition.cell_type
        )
        x0 = torch.tensor(dense(adata.X)[is_control.to_numpy()], dtype=torch.float32)
        parts = condition.perturbation.split("+")
        p = torch.tensor([[float(q in parts) for q in model.vocabulary.perturbations]])
        c = torch.tensor([[float(v == condition.cell_type) for v in ("A", "B")]])
        with torch.inference_mode():
            want = model.module(x0, p, c).mean(0)
        np.testing.assert_allclose(x, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["latent_additive", "decoder_only"])
def test_softplus_predicts_nothing_negative(name) -> None:
    plain = trained(name).predict(cells_per_condition=5)
    model = train(make(name, small_screen(), softplus=True))
    assert plain.X.min() < 0 < model.predict(cells_per_condition=5).X.min()


def test_settings_reach_the_module() -> None:
    adata = small_screen()
    model = ps.models.LatentAdditive(adata, n_hidden=9, n_latent=3, n_layers=2, dropout=0.25)
    shapes = {k: tuple(v.shape) for k, v in model.module.state_dict().items() if v.ndim == 2}
    assert shapes == {
        "encoder.0.weight": (9, 20),
        "encoder.4.weight": (9, 9),
        "encoder.8.weight": (3, 9),
        "perturbation_encoder.0.weight": (9, 5),
        "perturbation_encoder.4.weight": (9, 9),
        "perturbation_encoder.8.weight": (3, 9),
        "decoder.0.weight": (9, 3 + 2),
        "decoder.4.weight": (9, 9),
        "decoder.8.weight": (20, 9),
    }
    assert {m.p for m in model.module.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}


def test_decoder_only_refusals() -> None:
    adata = small_screen()
    with pytest.raises(ValueError, match="`inputs`='labels' must be 'both'"):
        ps.models.DecoderOnly(adata, inputs="labels", **TINY["decoder_only"])
    ps.pp.register(adata)
    with pytest.raises(ValueError, match="needs a screen with registered covariates"):
        ps.models.DecoderOnly(adata, inputs="covariates")


def test_linear_converges_to_least_squares() -> None:
    """With one kind of control cell per context, it is a regression on labels."""
    adata = small_screen("transfer")
    adata.obs["split"] = "train"
    obs, x = adata.obs, dense(adata.X)
    is_control = (obs["perturbation"] == "control").to_numpy()
    context = (obs["cell_type"] == "B").to_numpy().astype(int)
    mean = np.stack([x[is_control & (context == k)].mean(axis=0) for k in (0, 1)])
    x[is_control] = mean[context[is_control]]
    adata.X = x.astype(np.float32)
    model = ps.models.Linear(adata)
    train(model, max_epochs=200, lr=0.03, weight_decay=0, batch_size=10_000, early_stopping=False)

    parts = [set(p.split("+")) for p in obs["perturbation"][~is_control]]
    active = [[p in q for p in model.vocabulary.perturbations] for q in parts]
    design = np.column_stack([active, np.eye(2)[context[~is_control]], np.ones(len(parts))])
    target = x[~is_control] - mean[context[~is_control]]
    fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
    w, b = (model._arrays()[f"effect.{k}"] for k in ("weight", "bias"))
    error = design[:, :-1] @ w.T + b - fitted
    assert np.sqrt(np.mean(error**2)) < 0.03 * fitted.std()
