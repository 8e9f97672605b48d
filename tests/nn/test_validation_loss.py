"""Validation judges networks by their prediction from controls, but for those that draw cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.helpers import dense
from tests.models.small import NETWORKS, make, small_screen, train, trained

from pertscope.models._registry import MODELS
from pertscope.models.network import NetworkModel
from pertscope.nn.autoencoder_module import AutoencoderModule

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    x0, x = (torch.from_numpy(rng.normal(size=(9, 20)).astype(np.float32)) for _ in range(2))
    p = torch.eye(5)[rng.integers(5, size=9)]
    c = torch.eye(2)[rng.integers(2, size=9)]
    return x0, x, p, c


PREDICTING = [
    name
    for name in NETWORKS
    if issubclass(MODELS[name].load(), NetworkModel) and name != "generative"
]


@pytest.mark.parametrize("name", PREDICTING)
def test_is_the_error_of_the_prediction_from_controls(name, pairs) -> None:
    x0, x, p, c = pairs
    module = trained(name).module
    with torch.inference_mode():
        predicted = module.decode(module.encode(x0, c), p, c).numpy()
        loss = module.validation_loss(*pairs).item()
        own = module.loss(*pairs).item()
    want = np.mean((predicted - x.numpy()) ** 2)
    assert loss == pytest.approx(want, rel=1e-5)
    assert (own == pytest.approx(want, rel=1e-5)) != isinstance(module, AutoencoderModule)


def one_kind_of_control() -> tuple[AnnData, dict[str, np.ndarray]]:
    """Screen with one kind of control cell per cell type, so that matching draws nothing."""
    adata = small_screen()
    obs, x = adata.obs, dense(adata.X).astype(np.float32)
    is_control = (obs["perturbation"] == "control").to_numpy()
    mean = {}
    for value in ("A", "B"):
        rows = is_control & (obs["cell_type"] == value).to_numpy()
        mean[value] = x[rows].mean(axis=0)
        x[rows] = mean[value]
    adata.X = x
    return adata, mean


def val_pairs(
    model: NetworkModel, adata: AnnData, mean: dict[str, np.ndarray]
) -> tuple[torch.Tensor, ...]:
    """Controls and perturbed cells of val, what they got and their cell types."""
    obs = adata.obs
    held_out = obs[(obs["split"] == "val") & (obs["perturbation"] != "control")]
    parts = [label.split("+") for label in held_out["perturbation"].astype(str)]
    p = torch.tensor([[float(q in s) for q in model.vocabulary.perturbations] for s in parts])
    c = torch.tensor([[float(v == w) for w in ("A", "B")] for v in held_out["cell_type"]])
    x0 = torch.from_numpy(np.stack([mean[v] for v in held_out["cell_type"]]))
    return x0, torch.from_numpy(adata[held_out.index].X), p, c


@pytest.mark.parametrize("name", PREDICTING)
def test_is_what_is_reported_and_the_best_is_kept(name) -> None:
    adata, mean = one_kind_of_control()
    model = train(make(name, adata, **({"warmup_epochs": 0} if name == "cpa" else {})))
    x0, x, p, c = val_pairs(model, adata, mean)
    with torch.inference_mode():
        want = (model.module(x0, p, c) - x).square().mean().item()
    assert model.history["val_loss"].min() == pytest.approx(want, rel=1e-4)


def test_the_best_mean_of_weights_is_kept() -> None:
    """Of a network that predicts by a mean of its weights: that mean, of the best epoch."""
    adata, mean = one_kind_of_control()
    model = train(make("generative", adata), max_epochs=12, lr=0.3)
    losses = model.history["val_loss"]
    assert losses.idxmin() < losses.index[-1]
    with torch.inference_mode():
        found = model.module.validation_loss(*val_pairs(model, adata, mean)).item()
    assert found == pytest.approx(losses.min(), rel=1e-4)
    assert found != pytest.approx(losses.iloc[-1], rel=1e-3)
