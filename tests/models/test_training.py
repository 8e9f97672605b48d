"""The training loop: what it keeps, how it ends, what it leaves alone."""

from __future__ import annotations

import signal

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from tests.helpers import fingerprint
from tests.models.small import NETWORKS, TINY, make, small_screen, train

from pertscope.models._registry import MODELS
from pertscope.models.training import TrainingPlan

NO_NUMBER = (
    r"the loss became (inf|nan) in epoch \d(, first in batch \d+ of \d+| in validation): lower `lr`"
)
every_network = pytest.mark.parametrize("name", NETWORKS)


def weights(model) -> dict[str, bytes]:
    return {k: v.tobytes() for k, v in model._arrays().items()}


def raising_after(monkeypatch, error: BaseException, n_epochs: int) -> None:
    """Let the first training step after `n_epochs` epochs raise."""
    step = TrainingPlan.training_step

    def training_step(self, batch, index):
        if self.trainer.current_epoch >= n_epochs:
            raise error
        return step(self, batch, index)

    monkeypatch.setattr(TrainingPlan, "training_step", training_step)


@every_network
def test_history(name) -> None:
    model = train(make(name, small_screen()), max_epochs=3)
    assert model.history.columns.tolist() == ["train_loss", "val_loss", "lr"]
    assert model.history.index.name == "epoch"
    assert model.history.index.tolist() == [0, 1, 2]
    assert (model.history.dtypes == np.float64).all()
    assert np.isfinite(model.history.to_numpy()).all()
    assert (model.history["lr"] == 1e-3).all()
    assert not model.module.training
    adata = small_screen()
    adata.obs["split"] = "train"
    model = train(make(name, adata), early_stopping=False)
    assert model.history.columns.tolist() == ["train_loss", "lr"]


@every_network
def test_best_epoch_is_kept(name, monkeypatch) -> None:
    """Of three epochs whose loss was lowest in the first, the first is kept."""
    first = train(make(name, small_screen()), max_epochs=1)
    losses = iter([0.5, 0.7, 0.6])

    def validation_step(self, batch, index) -> None:
        self.log("val_loss", torch.tensor(next(losses)), batch_size=1)

    monkeypatch.setattr(TrainingPlan, "validation_step", validation_step)
    model = train(make(name, small_screen()), max_epochs=3)
    assert model.history["val_loss"].tolist() == pytest.approx([0.5, 0.7, 0.6])
    assert weights(model) == weights(first)


def test_patience(monkeypatch) -> None:
    losses = iter([1.0, 0.9, 0.95, 0.9, 0.91, 0.8])

    def validation_step(self, batch, index) -> None:
        self.log("val_loss", torch.tensor(next(losses)), batch_size=1)

    monkeypatch.setattr(TrainingPlan, "validation_step", validation_step)
    model = train(make("linear", small_screen()), max_epochs=6, patience=3, lr_patience=1)
    assert len(model.history) == 5  # the third epoch in a row that is not better
    np.testing.assert_allclose(model.history["lr"], [1e-3, 1e-3, 1e-3, 1e-3, 2e-4])


@every_network
def test_loss_is_the_mean_over_cells(name) -> None:
    """With a rate of 0, the first epoch's loss is that of the initial weights, batches or not."""
    losses = []
    for batch_size in (7, 10_000):
        model = MODELS[name].load()(
            small_screen(), **TINY.get(name, {}), **({} if name == "linear" else {"dropout": 0})
        )
        train(model, max_epochs=1, lr=0, batch_size=batch_size)
        losses.append(model.history.loc[0].tolist())
    np.testing.assert_allclose(losses[0][1:], losses[1][1:], rtol=1e-5)
    # what is drawn in training differs between batches, not in validation
    drawn = name in ("biolord", "cpa", "sams_vae")
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=5e-3 if drawn else 1e-5)


@every_network
def test_interrupt_keeps_the_best_weights(name, monkeypatch) -> None:
    two = train(make(name, small_screen()), max_epochs=2)
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    model = make(name, small_screen())
    raising_after(monkeypatch, KeyboardInterrupt(), n_epochs=2)
    with pytest.warns(
        UserWarning, match=r"interrupted after 2 epoch\(s\): the best weights so far"
    ):
        train(model, max_epochs=50)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert model.is_trained
    assert weights(model) == weights(two)
    assert model.history.equals(two.history)
    assert fingerprint(model.predict()) == fingerprint(two.predict())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SIGTERMException(), SystemExit(3)])
def test_early_ends(error, monkeypatch) -> None:
    """An interrupt before anything was learned is one; SIGTERM and exit are never swallowed."""
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    model = make("latent_additive", small_screen())
    before = weights(model)
    raising_after(monkeypatch, error, n_epochs=0 if isinstance(error, KeyboardInterrupt) else 1)
    with pytest.raises(type(error)):
        train(model, max_epochs=50)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not model.is_trained
    assert (weights(model) == before) == isinstance(error, KeyboardInterrupt)


@every_network
@pytest.mark.parametrize("lr", [1e18, 1e30])
def test_loss_that_is_no_number(name, lr) -> None:
    """Is refused, and leaves a model that can be trained with a lower rate."""
    model = make(name, small_screen())
    with pytest.raises(ValueError, match=NO_NUMBER):
        train(model, max_epochs=5, lr=lr)
    assert not model.is_trained
    good = fingerprint(train(model).predict())
    with pytest.raises(ValueError, match="the loss became"):
        train(model, lr=lr)
    assert fingerprint(model.predict()) == good


@pytest.mark.parametrize("argument", ["max_epochs", "batch_size"])
def test_refusals(argument) -> None:
    with pytest.raises(ValueError, match=f"`{argument}`=0.* must be positive"):
        train(make("linear", small_screen()), **{argument: 0})


def test_gradient_clip_and_weight_decay() -> None:
    plain, clipped, decayed = (
        train(make("linear", small_screen()), max_epochs=1, batch_size=10_000, **settings)
        for settings in ({}, {"gradient_clip": 1e-12}, {"weight_decay": 1.0})
    )
    assert weights(clipped) != weights(plain) != weights(decayed)


def test_lightning_says_nothing(capsys, caplog, tmp_path, monkeypatch) -> None:
    """One progress bar, no advertisements, no folder of logs."""
    monkeypatch.chdir(tmp_path)
    train(make("linear", small_screen()))
    out, err = capsys.readouterr()
    assert not out
    assert err.count("training:") > 0
    assert "GPU" not in err
    assert not caplog.records
    assert not list(tmp_path.iterdir())
    assert L.__name__ == "lightning.pytorch"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_out_of_memory_says_what_to_lower(error, monkeypatch) -> None:
    model = make("latent_additive", small_screen())
    before = weights(model)
    raising_after(monkeypatch, error, n_epochs=0)
    with pytest.raises(
        MemoryError, match=r"lower `batch_size`, which is 64, .* `n_hidden`"
    ) as told:
        train(model, batch_size=64)
    assert told.value.__cause__ is error
    assert weights(model) == before
    raising_after(monkeypatch, RuntimeError("something else"), n_epochs=0)
    with pytest.raises(RuntimeError, match="something else"):
        train(model)


@every_network
def test_conditions_of_one_cell(name) -> None:
    """Of one perturbed cell, and of as few controls as can be."""
    adata = small_screen()
    labels = adata.obs["perturbation"].astype(str)
    context = adata.obs["cell_type"].astype(str)
    rare = labels.mask(labels == "control").mode()[0]
    first = np.ones(adata.n_obs, bool)
    n_controls = 2 if name == "generative" else 1  # which carries populations
    for label, where, n in ((rare, "A", 1), ("control", "B", n_controls)):
        cells = np.flatnonzero((labels == label) & (context == where))
        first[cells[n:]] = False
        adata.obs.loc[adata.obs_names[cells[:n]], "split"] = "train"
    few = adata[first].copy()
    few.obs["split"] = np.where(few.obs["split"] == "test", "train", few.obs["split"].astype(str))
    lone = (few.obs["split"] == "val") & (few.obs["cell_type"] == "B")
    few.obs.loc[lone, "split"] = "train"  # its few controls are in train
    model = train(make(name, few), batch_size=7)
    assert np.isfinite(model.predict([rare]).X).all()
