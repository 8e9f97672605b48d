"""Shared by the benchmarks: times, memory, and the screen they run on."""

from __future__ import annotations

import resource
import statistics
import time
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(name: str, ours: Callable[[], object], peer: Callable[[], object], n: int = 5) -> None:
    """Time both in turn, and print medians and the ratio pair by pair."""
    first = seconds(ours)
    peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(n)]
    ratios = sorted(b / a for a, b in pairs)
    a, b = (statistics.median(p) for p in zip(*pairs, strict=True))
    print(
        f"{name}: {a:.4f} s, peer {b:.3f} s, ratio {statistics.median(ratios):.1f} "
        f"(from {ratios[0]:.1f} to {ratios[-1]:.1f}, {n} pairs); our first call in this process, "
        f"compilation or its cache included: {first:.2f} s"
    )


def peak_memory() -> float:
    """Largest resident size of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def random_screen(
    n_cells: int, n_genes: int, n_perturbations: int, *, filled: float, seed: int = 0
) -> ad.AnnData:
    """Screen with log-normalised values in CSR, `filled` of them stored."""
    rng = np.random.default_rng(seed)
    per_row = rng.binomial(n_genes, filled, n_cells)
    indptr = np.append(0, np.cumsum(per_row))
    indices = np.concatenate(
        [np.sort(rng.choice(n_genes, k, replace=False, shuffle=False)) for k in per_row]
    ).astype(np.int32)
    data = np.log1p(rng.integers(1, 12, indptr[-1])).astype(np.float32)
    # freshly allocated in one piece, as reading a file leaves it
    x = sp.csr_matrix((data, indices, indptr), shape=(n_cells, n_genes)).copy()
    labels = np.array(["control", *(f"p{i}" for i in range(n_perturbations - 1))])
    obs = pd.DataFrame(
        {"perturbation": pd.Categorical(labels[rng.integers(0, n_perturbations, n_cells)])},
        index=[f"cell{i}" for i in range(n_cells)],
    )
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]))
