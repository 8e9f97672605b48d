"""Training throughput of the networks against scvi-tools' SCVI: same widths, same batch size.

20,000 perturbed cells and as many controls x 2,000 genes, 18 % stored; one epoch each, after a
first that is not counted. SCVI sees all cells it is given, once per epoch, so it gets the perturbed
ones. Run with ``python benchmarks/bench_training.py``.
"""

from __future__ import annotations

import statistics
import warnings

import numpy as np
import scvi
import torch
from _timing import random_screen, seconds

import pertscope as ps

N_CELLS, N_GENES, N_HIDDEN, N_LATENT, BATCH = 20_000, 2_000, 128, 10, 128
EPOCHS, N = 2, 3


def main() -> None:
    """Time epochs of each model in turn."""
    warnings.simplefilter("ignore")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    adata = random_screen(2 * N_CELLS, N_GENES, 50, filled=0.18)
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str)
    adata.obs.iloc[:N_CELLS, 0] = "control"
    adata.obs.loc[adata.obs_names[N_CELLS:], "perturbation"] = [
        f"p{i % 50}" for i in range(N_CELLS)
    ]
    adata.obs["split"] = "train"
    ps.pp.register(adata)
    counts = adata[N_CELLS:].copy()
    counts.X.data = np.rint(np.expm1(counts.X.data)).astype(np.float32)
    scvi.model.SCVI.setup_anndata(counts)
    common = {"n_hidden": N_HIDDEN, "n_layers": 1}
    peer = scvi.model.SCVI(counts, n_latent=N_LATENT, **common)
    models = {
        "latent_additive": ps.models.LatentAdditive(adata, n_latent=N_LATENT, **common),
        "decoder_only": ps.models.DecoderOnly(adata, **common),
        "linear": ps.models.Linear(adata),
    }

    def train(model: object, epochs: int) -> None:
        model.train(max_epochs=epochs, batch_size=BATCH, early_stopping=False, accelerator=device)

    def train_peer(epochs: int) -> None:
        peer.train(
            max_epochs=epochs,
            batch_size=BATCH,
            train_size=1.0,
            accelerator=device,
            enable_progress_bar=False,
        )

    train_peer(1)
    for name, model in models.items():
        train(model, 1)
        pairs = [
            (seconds(lambda: train(model, EPOCHS)), seconds(lambda: train_peer(EPOCHS)))  # noqa: B023
            for _ in range(N)
        ]
        ours, theirs = (EPOCHS * N_CELLS / statistics.median(t) for t in zip(*pairs, strict=True))
        ratios = sorted(b / a for a, b in pairs)
        print(
            f"{name} on {device}: {ours:,.0f} cells/s, SCVI {theirs:,.0f} cells/s, ratio "
            f"{statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
