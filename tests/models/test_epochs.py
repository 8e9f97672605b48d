"""Epochs until validation stalls."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pertscope.models.epochs import device_of, train_epochs
from pertscope.models.interruption import TrainingInterruptedWarning


class Steps:
    """Epochs that count in the weight, with validation losses that are given."""

    def __init__(self, losses: list[float], *, interrupt_after: int | None = None) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.module.weight)
        self.losses, self.interrupt_after, self.n = losses, interrupt_after, 0

    def epoch(self) -> None:
        if self.n == self.interrupt_after:
            raise KeyboardInterrupt
        assert self.module.training
        self.n += 1
        with torch.no_grad():
            self.module.weight += 1

    def validate(self) -> float:
        assert not self.module.training
        return self.losses[self.n - 1]

    def run(self, **settings: int) -> float:
        train_epochs(self.module, self.epoch, self.validate, **settings)
        assert not self.module.training
        return self.module.weight.item()


def test_keeps_the_best_weights_and_stops():
    steps = Steps([5, 3, 4, 3.5, 3, 1])
    assert steps.run(max_epochs=6, patience=3) == 2
    assert steps.n == 5


def test_ends_after_all_epochs():
    steps = Steps([3, 2, 1])
    assert steps.run(max_epochs=3, patience=3) == 3


def test_interrupted_keeps_the_best_so_far():
    steps = Steps([3, 2, 4], interrupt_after=3)
    with pytest.warns(TrainingInterruptedWarning, match="best weights so far"):
        assert steps.run(max_epochs=9, patience=9) == 2


def test_interrupted_before_anything_is_done():
    steps = Steps([3], interrupt_after=0)
    with pytest.raises(KeyboardInterrupt):
        steps.run(max_epochs=9, patience=9)


def test_history_and_what_is_told():
    steps, told = Steps([3, 4, 2]), []
    history = train_epochs(
        steps.module,
        lambda: [steps.epoch(), 0.5][1],
        steps.validate,
        max_epochs=3,
        patience=2,
        on_epoch=lambda *found: told.append(found),
    )
    assert history == [
        {"epoch": i, "train_loss": 0.5, "val_loss": v} for i, v in enumerate([3, 4, 2])
    ]
    assert told == [(i, {"train_loss": 0.5, "val_loss": v}) for i, v in enumerate([3, 4, 2])]


def test_what_is_raised_between_epochs_ends_training_with_the_best_weights():
    steps = Steps([3, 2, 4, 1])

    def stop(epoch: int, _: dict[str, float]) -> None:
        if epoch == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        steps.run(max_epochs=9, patience=9, on_epoch=stop)
    assert steps.module.weight.item() == 2


def test_refuses():
    with pytest.raises(ValueError, match="became nan in epoch 1: lower `lr`"):
        Steps([1, float("nan")]).run(max_epochs=9, patience=9)
    with pytest.raises(ValueError, match="`max_epochs`=0"):
        Steps([]).run(max_epochs=0, patience=1)
    with pytest.raises(ValueError, match="`patience`=0"):
        Steps([]).run(max_epochs=1, patience=0)


def test_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="finds none"):
        device_of("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of("auto") == device_of("gpu") == torch.device("cuda")
    assert device_of("cpu") == torch.device("cpu")
