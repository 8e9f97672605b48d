"""Training throughput of every network against scvi-tools' SCVI: same widths, same batch size.

100,000 cells x 2,000 genes, 18 % stored, a tenth of them controls; one epoch each after a short
one that is not counted, SCVI first and last. A cell of ours is a perturbed cell with its matched
control: networks that take cells apart train on both. SCVI sees every cell once. Run with
``python benchmarks/bench_training.py``.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import scvi
import torch
from _timing import random_screen, seconds

import pertscope as ps

if TYPE_CHECKING:
    from anndata import AnnData

N_CELLS, N_GENES, N_HIDDEN, N_LATENT, BATCH = 100_000, 2_000, 128, 10, 128
WARM_UP = 4_000  # cells
WIDTHS = {"n_hidden": N_HIDDEN, "n_layers": 1}
LATENT = WIDTHS | {"n_latent": N_LATENT}
MODELS = {
    "linear": ("Linear", {}),
    "decoder_only": ("DecoderOnly", WIDTHS),
    "latent_additive": ("LatentAdditive", LATENT),
    "cpa, no adversary": ("CPA", LATENT | {"adversarial": False}),
    "cpa": ("CPA", LATENT | {"warmup_epochs": 0}),
    "biolord": ("Biolord", LATENT),
    "sams_vae (S)": ("SAMSVAE", LATENT | {"sparse": False, "global_latents": False}),
    "sams_vae": ("SAMSVAE", LATENT),
}


def screen(n_cells: int) -> AnnData:
    """Registered screen, all of it in train, every tenth cell a control."""
    adata = random_screen(n_cells, N_GENES, 50, filled=0.18)
    labels = np.array([f"p{i % 50}" for i in range(n_cells)], dtype=object)
    labels[::10] = "control"
    adata.obs["perturbation"] = labels
    adata.obs["split"] = "train"
    ps.pp.register(adata)
    return adata


def epoch(name: str, adata: AnnData, device: str) -> float:
    """Seconds of one epoch of a model of ours, a short training before it."""
    class_name, settings = MODELS[name]
    make = getattr(ps.models, class_name)
    how = {"batch_size": BATCH, "early_stopping": False, "accelerator": device, "max_epochs": 1}
    few = adata[:WARM_UP].copy()
    with contextlib.redirect_stderr(io.StringIO()):
        make(few, **settings).train(**how)
        model = make(adata, **settings)
        return seconds(lambda: model.train(**how))


def epoch_of_peer(adata: AnnData, device: str) -> float:
    """Seconds of one epoch of SCVI."""
    counts = adata.copy()
    counts.X.data = np.rint(np.expm1(counts.X.data)).astype(np.float32)
    how = {"batch_size": BATCH, "train_size": 1.0, "accelerator": device, "max_epochs": 1}
    for part in (counts[:WARM_UP].copy(), counts):
        scvi.model.SCVI.setup_anndata(part)
        peer = scvi.model.SCVI(part, n_latent=N_LATENT, **WIDTHS)
        took = seconds(lambda: peer.train(**how, enable_progress_bar=False))  # noqa: B023
    return took


def main() -> None:
    """Time each model, SCVI before and after."""
    warnings.simplefilter("ignore")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    adata = screen(N_CELLS)
    n_perturbed = int((adata.obs["perturbation"] != "control").sum())
    first = N_CELLS / epoch_of_peer(adata, device)
    ours = {name: n_perturbed / epoch(name, adata, device) for name in MODELS}
    peer = [first, N_CELLS / epoch_of_peer(adata, device)]
    print(f"SCVI on {device}: {peer[0]:,.0f} and {peer[1]:,.0f} cells/s")
    for name, speed in ours.items():
        ratios = sorted(speed / p for p in peer)
        print(f"{name}: {speed:,.0f} cells/s, {ratios[0]:.1f} to {ratios[1]:.1f} times SCVI")


if __name__ == "__main__":
    main()
