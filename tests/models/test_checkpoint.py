"""A training that was killed goes on, and ends where it would have ended."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.small import NETWORKS, make, small_screen, train

from pertscope.models.checkpoint import Checkpoint

every_network = pytest.mark.parametrize("name", NETWORKS)


def weights(model) -> dict[str, bytes]:
    return {k: v.tobytes() for k, v in model._arrays().items()}


class KilledError(Exception):
    """As good as a kill: nothing of ours runs after it but what puts weights back."""


def killed_after(epoch: int):
    def on_epoch(number: int, losses: dict[str, float]) -> None:
        if number == epoch:
            raise KilledError

    return on_epoch


@every_network
@pytest.mark.parametrize("epoch", [1, 4])
def test_resumed_training_ends_with_the_same_weights(name, epoch, tmp_path) -> None:
    """Rates fall and the best epoch is an early one: all of that must be remembered."""
    how = {"max_epochs": 8, "lr": 0.02, "lr_patience": 1, "batch_size": 32}
    how |= {"checkpoint": tmp_path / "run", "checkpoint_seconds": 0}
    whole = train(make(name, small_screen()), **how)
    assert not (tmp_path / "run").exists()  # removed at the end
    with pytest.raises(KilledError):
        train(make(name, small_screen()), on_epoch=killed_after(epoch), **how)
    assert (tmp_path / "run").exists()
    seen = []
    resumed = train(make(name, small_screen()), on_epoch=lambda e, _: seen.append(e), **how)
    assert seen == list(range(epoch, 8))  # the epoch that was killed is trained again
    assert weights(resumed) == weights(whole)
    assert resumed.history.equals(whole.history)


def test_adversary_and_its_turns_are_remembered(tmp_path) -> None:
    how = {"max_epochs": 6, "batch_size": 16, "checkpoint": tmp_path / "run"}
    how["checkpoint_seconds"] = 0
    whole = train(make("cpa", small_screen(), warmup_epochs=1, adversary_steps=3), **how)
    model = make("cpa", small_screen(), warmup_epochs=1, adversary_steps=3)
    with pytest.raises(KilledError):
        train(model, on_epoch=killed_after(3), **how)
    resumed = train(make("cpa", small_screen(), warmup_epochs=1, adversary_steps=3), **how)
    assert weights(resumed) == weights(whole)
    assert resumed.history.equals(whole.history)


def test_sigkill(tmp_path) -> None:
    """The process dies between two bytecodes; what is on disk is whole."""
    script = (
        "import os, signal, sys\n"
        "from tests.models.small import make, small_screen, train\n"
        "kill = lambda e, _: os.kill(os.getpid(), signal.SIGKILL) if e == 3 else None\n"
        "train(make('linear', small_screen()), max_epochs=6, checkpoint=sys.argv[1],\n"
        "      checkpoint_seconds=0, on_epoch=kill)\n"
    )
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")],
        cwd=root,
        capture_output=True,
        check=False,
    )
    assert run.returncode == -9, run.stderr.decode()
    whole = train(make("linear", small_screen()), max_epochs=6)
    resumed = train(make("linear", small_screen()), max_epochs=6, checkpoint=tmp_path / "run")
    assert weights(resumed) == weights(whole)


def test_another_training_is_refused(tmp_path) -> None:
    how = {"max_epochs": 3, "checkpoint": tmp_path / "run", "checkpoint_seconds": 0}
    with pytest.raises(KilledError):
        train(make("linear", small_screen()), on_epoch=killed_after(2), **how)
    before = {f.name: f.read_bytes() for f in (tmp_path / "run").iterdir()}
    with pytest.raises(
        ValueError, match=r"another training, which differs in lr \(0.001, now 0.5\)"
    ):
        train(make("linear", small_screen()), lr=0.5, **how)
    with pytest.raises(ValueError, match=r"differs in .*model"):
        train(make("decoder_only", small_screen()), **how)
    fewer = small_screen()[::2].copy()
    with pytest.raises(ValueError, match="differs in data"):
        train(make("linear", fewer), **how)
    assert {f.name: f.read_bytes() for f in (tmp_path / "run").iterdir()} == before


def test_numpy_settings_go_on(tmp_path) -> None:
    how = {"max_epochs": 3, "checkpoint": tmp_path / "run", "checkpoint_seconds": 0}
    whole = train(make("linear", small_screen(), seed=1), max_epochs=3)
    numpy_seed = {"seed": np.int64(1)}
    with pytest.raises(KilledError):
        train(make("linear", small_screen(), **numpy_seed), on_epoch=killed_after(1), **how)
    resumed = train(make("linear", small_screen(), **numpy_seed), **how)
    assert weights(resumed) == weights(whole)


def test_nested_state_survives(tmp_path) -> None:
    state = {
        "a": {0: {"step": torch.tensor(3.0), "m": torch.arange(4.0)}, 1: {}},
        "b": [1, 2.5, None, "x", (True, torch.zeros(2, 0))],
        "inf": float("inf"),
    }
    point = Checkpoint(tmp_path / "c", {"lr": 1}, 0)
    assert point.read() is None
    point.write(state)
    got = point.read()
    assert got["a"].keys() == {0, 1}
    torch.testing.assert_close(got["a"][0]["m"], torch.arange(4.0))
    assert got["b"][:4] == [1, 2.5, None, "x"]
    assert got["b"][4][1].shape == (2, 0)
    assert got["inf"] == float("inf")
    point.remove()
    assert point.read() is None


class Payload:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (Path("/tmp/pertscope-was-here").write_text, ("oh no",))


@pytest.mark.parametrize("where", ["arrays.npz", "inside"])
def test_planted_pickles_do_not_run(where, tmp_path) -> None:
    how = {"max_epochs": 2, "checkpoint": tmp_path / "run", "checkpoint_seconds": 0}
    with pytest.raises(KilledError):
        train(make("linear", small_screen()), on_epoch=killed_after(1), **how)
    arrays = tmp_path / "run" / "arrays.npz"
    witness = Path("/tmp/pertscope-was-here")
    witness.unlink(missing_ok=True)
    if where == "inside":
        np.savez(arrays, a0=np.array([Payload()], dtype=object))
    else:
        arrays.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ValueError, match=r"allow_pickle|pickled"):
        train(make("linear", small_screen()), **how)
    assert not witness.exists()
    assert json.loads((tmp_path / "run" / "model.json").read_text())["format_version"] == 2
