"""Principal components against ``scanpy.pp.pca``, and their memory on cells that stay on disk.

In memory: 100,000 cells x 2,000 genes, 18 % stored, 50 components, equal results. On disk: 100,000
cells x 5,000 genes, 10 % stored. Run with ``python benchmarks/bench_pca.py``.
"""

from __future__ import annotations

import sys
import tracemalloc
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import scanpy as sc
from _backed_screen import in_own_processes, write
from _timing import compare, peak_memory, random_screen, seconds

import pertscope as ps

if TYPE_CHECKING:
    from collections.abc import Callable

N_PROGRAMMES, N_COMPONENTS = 60, 50
ROWS = 2_000
ON_DISK = (100_000, 5_000)


def main() -> None:
    """Compare in memory, then measure on disk."""
    if len(sys.argv) == 1:
        in_memory()
    in_own_processes(write_screen, on_disk)


def in_memory() -> None:
    """Check that results are equal, then time both, and measure what they allocate."""
    adata = random_screen(100_000, 2_000, 100, filled=0.18)
    add_programmes(adata)
    peer = adata.copy()

    def peers() -> None:
        sc.pp.pca(peer, n_comps=N_COMPONENTS)

    peers()
    for method in ("randomized", "exact"):

        def ours(method: str = method) -> None:
            ps.tl.pca(adata, N_COMPONENTS, method=method)

        ours()
        found = adata.uns["pca"]
        np.testing.assert_allclose(found["variance"], peer.uns["pca"]["variance"], rtol=1e-4)
        cosine = (adata.varm["PCs"] * peer.varm["PCs"]).sum(axis=0)
        np.testing.assert_array_less(0.999, cosine)
        ours_gib, peers_gib = allocated(ours), allocated(peers)
        print(
            f"{method}, {found['params']['n_passes']} pass(es), cosine of the axes "
            f"{cosine.min():.6f} or more: allocates {ours_gib:.2f} GiB, peer {peers_gib:.2f} GiB"
        )
        compare(f"{method} PCA of CSR", ours, peers, n=3 if method == "randomized" else 1)


def add_programmes(adata: ad.AnnData) -> None:
    """Multiply stored values by programmes of genes, so that there are components to find."""
    factors = Programmes(adata.n_vars)
    x = adata.X
    for start in range(0, adata.n_obs, ROWS):
        rows = x.indptr[start : start + ROWS + 1]
        stored = slice(rows[0], rows[-1])
        x.data[stored] *= factors.of(np.diff(rows), x.indices[stored])


class Programmes:
    """What programmes of decreasing strength multiply values by, some rows at a time."""

    def __init__(self, n_genes: int) -> None:
        self.rng = np.random.default_rng(0)
        strength = 0.2 * np.geomspace(1, 0.1, N_PROGRAMMES, dtype=np.float32)
        normal = self.rng.standard_normal((N_PROGRAMMES, n_genes), np.float32)
        self.loadings = strength[:, None] * normal

    def of(self, per_row: np.ndarray, genes: np.ndarray) -> np.ndarray:
        """Factors of the stored values of the next rows."""
        scores = self.rng.standard_normal((len(per_row), N_PROGRAMMES), np.float32)
        return np.exp(scores @ self.loadings)[np.repeat(np.arange(len(per_row)), per_row), genes]


def write_screen(path: str) -> None:
    """Write cells with programmes to disk."""
    write(path, *ON_DISK)
    factors = Programmes(ON_DISK[1])
    with h5py.File(path, "r+") as file:
        x = file["X"]
        for start in range(0, ON_DISK[0], ROWS):
            rows = x["indptr"][start : start + ROWS + 1]
            stored = slice(rows[0], rows[-1])
            x["data"][stored] *= factors.of(np.diff(rows), x["indices"][stored])


def allocated(function: Callable[[], object]) -> float:
    """Largest sum of arrays that a call holds beside those there were, in GiB."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**30


def on_disk(path: str) -> None:
    """Embed cells from disk, and report the peak of the whole process."""
    adata = ad.read_h5ad(path, backed="r")
    before = peak_memory()
    time = seconds(lambda: ps.tl.pca(adata, N_COMPONENTS))
    params = adata.uns["pca"]["params"]
    print(
        f"{ON_DISK[0]:,} x {ON_DISK[1]:,} backed, {params['method']}, "
        f"{params['n_passes']} passes: {time:.1f} s, peak {peak_memory():.2f} GiB of the whole "
        f"process, {before:.2f} GiB before"
    )


if __name__ == "__main__":
    main()
