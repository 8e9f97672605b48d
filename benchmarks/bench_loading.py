"""Ways to bring batches to a training step: which of them is the fastest.

40,000 cells x 2,000 genes, 18 % stored, LatentAdditive of width 128, batches of 128: one pass each
with batches built where they are used (what training does), by a thread ahead, and by one and two
worker processes; and the time that building alone takes. Run with
``python benchmarks/bench_loading.py``.
"""

from __future__ import annotations

import statistics
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from _timing import random_screen, seconds
from torch.utils.data import DataLoader

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope.data.rows import Rows, dense
from pertscope.models.feeding import matched_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

N_CELLS, BATCH, N = 40_000, 128, 3


def ahead(batches: Iterable) -> Iterator:
    """The same, the next batch built by a thread while one is used."""
    source = iter(batches)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, source, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, source, None)
            yield batch


def main() -> None:
    """Print a median per way."""
    warnings.simplefilter("ignore")
    adata = random_screen(N_CELLS, 2_000, 50, filled=0.18)
    adata.obs["split"] = "train"
    ps.pp.register(adata)
    model = ps.models.LatentAdditive(adata, n_hidden=128, n_latent=10)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = model.module.to(device).train()
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    conditions = screen_conditions(adata, Screen.of(adata))
    train = matched_batches(
        Rows(adata.X),
        conditions,
        conditions.codes,
        np.ones(N_CELLS, bool),
        batch_size=BATCH,
        shuffle=True,
        seed=0,
    )
    vectors = torch.from_numpy(model.vocabulary.encode_perturbations(conditions)).to(device)
    covariates = torch.zeros(len(conditions), 0, device=device)

    def use(batches: Iterable) -> None:
        for batch in batches:
            there = batch.to(device)
            at = there.condition
            loss = module.loss(dense(there.x0), dense(there.x), vectors[at], covariates[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    ways = {
        "built where they are used": lambda: use(train),
        "a thread ahead": lambda: use(ahead(train)),
        "one worker process": lambda: use(DataLoader(train, batch_size=None, num_workers=1)),
        "two worker processes": lambda: use(DataLoader(train, batch_size=None, num_workers=2)),
        "only built, not used": lambda: [None for _ in train],
    }
    times = {name: [] for name in ways}
    use(train)
    for _ in range(N):
        for name, way in ways.items():
            times[name].append(seconds(way))
    n = len(train.condition)
    for name, took in times.items():
        passes = 2 if name.startswith("two") else 1  # each worker goes through all batches
        speed = passes * n / statistics.median(took)
        print(f"{name}, {device}: {speed:,.0f} cells/s")


if __name__ == "__main__":
    main()
