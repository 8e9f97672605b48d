"""Several devices train one model: here two processes on the CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from tests.models.small import make, small_screen, train

SCRIPT = """
import sys
import torch
from tests.models.small import make, small_screen, train

def run():
    model = make("latent_additive", small_screen(), dropout=0.0)
    train(model, max_epochs=3, batch_size=16, devices=2, strategy="ddp")
    rank = torch.distributed.get_rank()
    model.save(f"{sys.argv[1]}/{rank}", overwrite=True)

if __name__ == "__main__":
    run()
"""


def test_two_processes_are_one_with_twice_the_batch(tmp_path) -> None:
    """Gradients are averaged over the two halves of what would be one batch."""
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "script.py").write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path],
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'src'}", "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr.decode()[-3000:]
    model = make("latent_additive", small_screen(), dropout=0.0)
    first, second = (type(model).load(tmp_path / str(rank), small_screen()) for rank in (0, 1))
    n_train = int((small_screen().obs.query("split == 'train'")["perturbation"] != "control").sum())
    assert n_train % 32 == 0, "a batch would be left out"
    train(model, max_epochs=3, batch_size=32)
    for name, weights in model._arrays().items():
        np.testing.assert_array_equal(first._arrays()[name], second._arrays()[name])
        np.testing.assert_allclose(first._arrays()[name], weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(first.history["val_loss"], model.history["val_loss"], rtol=1e-4)
