"""A linear layer, trained as the paper trains it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from tests.ev.embedded import make_embedded, papalexi_pca
from tests.helpers import fingerprint, refused

import pertscope as ps
from pertscope.ev import _linear_layers
from pertscope.ev._linear_kernels import softmax_errors
from pertscope.ev._linear_layers import fit_layers, learning_rate

LAYERS = {"batch_size": 64, "seed": 0, "device": "cpu"}


def values(adata, rep="X_rep", **keys) -> dict[str, float]:
    ps.ev.linear_probe(adata, rep, **keys)
    table = adata.uns["linear_probe"]
    return table.groupby("metric", observed=True)["value"].mean().to_dict()


def test_learning_rate() -> None:
    rate = [learning_rate(e, peak=1e-3, n_epochs=250) for e in range(251)]
    np.testing.assert_allclose(rate[:10], np.linspace(3e-5, 1e-3, 10))
    np.testing.assert_allclose(rate[10:], 5e-4 * (1 + np.cos(np.pi * np.arange(241) / 240)))
    assert rate[-1] == pytest.approx(0, abs=1e-18)
    # few epochs leave time to fall
    assert [learning_rate(e, peak=1, n_epochs=2) for e in range(3)] == pytest.approx([3e-5, 1, 0])
    assert learning_rate(0, peak=1, n_epochs=1) == 1


def test_layers_find_a_linear_map() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    y = (x @ rng.normal(size=(3, 4)) + rng.normal(size=4)).astype(np.float32)
    layers = fit_layers(
        x, y.__getitem__, widths=[5, 4], loss="mse_loss", peak=0.05, n_epochs=60, **LAYERS
    )
    assert [w.shape for w, _ in layers] == [(3, 5), (5, 4)]
    found = x
    for weight, bias in layers:
        found = found @ weight + bias
    assert np.abs(found - y).max() < 0.02


@pytest.mark.parametrize("kind", ["classes", "dense", "csr"])
@pytest.mark.parametrize("batch_size", [5, 64])  # fewer and more rows than dimensions
def test_layers_as_torch_trains_them(kind, batch_size, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 8))
    y = sp.random_array((300, 30), density=0.2, rng=rng, format="csr", dtype=np.float32)
    target = {"classes": rng.integers(5, size=300), "dense": y.toarray(), "csr": y}[kind]
    keys = {"widths": [5], "loss": "cross_entropy"}
    if kind != "classes":
        keys = {"widths": [6, 30], "loss": "mse_loss"}
    keys |= LAYERS | {"batch_size": batch_size, "n_epochs": 12, "peak": 0.01}
    ours = fit_layers(x, target.__getitem__, **keys)
    by_torch = partial(_linear_layers.descend_on, "cpu")
    monkeypatch.setattr(_linear_layers, "descend", by_torch)
    for layer, expected in zip(ours, fit_layers(x, target.__getitem__, **keys), strict=True):
        for found, want in zip(layer, expected, strict=True):
            np.testing.assert_allclose(found, want, atol=2e-5)


def test_errors_of_softmax() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 9)).astype(np.float32) * np.logspace(-3, 3, 40)[:, None]
    classes = rng.integers(9, size=40)
    found = scores.astype(np.float32)
    softmax_errors(found, classes)
    want = (softmax(scores.astype(np.float32).astype(float), axis=1) - np.eye(9)[classes]) / 40
    np.testing.assert_allclose(found, want, atol=1e-8)


def test_layers_leave_the_generator_of_others_alone() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    before = torch.get_rng_state().clone()
    keys = {"widths": [2], "loss": "cross_entropy", "peak": 0.01, "n_epochs": 3} | LAYERS
    target = (x[:, 0] > 0).astype(np.int64).__getitem__
    one = fit_layers(x, target, **keys)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(7)
    assert fingerprint(one) == fingerprint(fit_layers(x, target, **keys))
    assert fingerprint(one) != fingerprint(fit_layers(x, target, **(keys | {"seed": 1})))


def test_near_logistic_regression() -> None:
    adata = make_embedded(5, signal=2, n_cells=120)
    ps.pp.split_batches(adata)
    found = values(adata, split_key="batch_split", n_seeds=2, n_epochs=100, batch_size=16)
    kept = adata[adata.obs["perturbation"] != "control"]
    train, test = (kept[kept.obs["batch_split"] == s] for s in ("train", "test"))
    peer = LogisticRegression(C=1e6, max_iter=1000)
    peer.fit(train.obsm["X_rep"], train.obs["perturbation"].to_list())
    expected = peer.score(test.obsm["X_rep"], test.obs["perturbation"].to_list())
    assert 0.4 < expected < 0.9
    assert found["top1_accuracy"] == pytest.approx(expected, abs=0.04)
    assert found["top5_accuracy"] == 1


def test_random_labels_are_at_chance() -> None:
    adata = make_embedded(10, signal=6, n_cells=40)
    ps.pp.random_labels(adata, "X_rep", key_added="X_floor")
    floor = values(adata, "X_floor", n_epochs=30, batch_size=64)
    assert floor["top1_accuracy"] == pytest.approx(1 / 10, abs=0.05)
    assert floor["top5_accuracy"] == pytest.approx(5 / 10, abs=0.08)
    assert values(adata, n_epochs=60, batch_size=16, n_seeds=1)["top1_accuracy"] > 0.9
    table = adata.uns["linear_probe"]
    assert table["n_labels"].unique().tolist() == [10]
    assert table["n_test"].unique().tolist() == [100]


def test_papalexi(papalexi) -> None:
    adata = papalexi_pca(papalexi)
    found = values(adata, "X_centred", n_seeds=1, n_epochs=60)
    ps.pp.random_labels(adata, "X_centred", key_added="X_floor")
    floor = values(adata, "X_floor", n_seeds=1, n_epochs=60)
    assert found["top5_accuracy"] > floor["top5_accuracy"] + 0.05
    assert found["balanced_accuracy"] > 1.3 * floor["balanced_accuracy"]


def test_labels_with_one_member_are_left_out() -> None:
    adata = make_embedded(4, signal=3)
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str)
    adata.obs.iloc[0, 0] = "alone"
    values(adata, n_epochs=2, n_seeds=1)
    assert (adata.uns["linear_probe"]["n_labels"] == 4).all()


def test_bad_input() -> None:
    adata = make_embedded(3)
    for keys in ({"n_epochs": 0}, {"batch_size": 0}):
        with refused(adata, ValueError, "must be positive"):
            ps.ev.linear_probe(adata, "X_rep", **keys)
    adata.obsm["X_rep"][0, 0] = np.inf
    with refused(adata, ValueError, "NaN or infinite values in 1 row"):
        ps.ev.linear_probe(adata, "X_rep")
    one = make_embedded(1)
    with refused(one, ValueError, "1 perturbation.*takes two"):
        ps.ev.linear_probe(one, "X_rep")
