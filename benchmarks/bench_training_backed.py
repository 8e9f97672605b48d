"""Training from disk: throughput and memory as the screen grows to a million cells.

Screens of 2,000 genes, 10 % stored, in h5ad by rows; LatentAdditive, one epoch. The smallest is
trained from memory too. Run with ``python benchmarks/bench_training_backed.py``.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import h5py
from _backed_screen import write
from _timing import peak_memory, seconds

import pertscope as ps

N_GENES = 2_000
SIZES = (100_000, 300_000, 1_000_000)


def measure(path: str, kind: str) -> None:
    """Train one epoch and print cells/s and the peak of memory."""
    warnings.simplefilter("ignore")
    adata = ad.read_h5ad(path, backed="r" if kind == "backed" else None)
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str)
    adata.obs["split"] = "train"
    ps.pp.register(adata)
    before = peak_memory()
    model = ps.models.LatentAdditive(adata, n_hidden=128, n_latent=10)
    with contextlib.redirect_stderr(io.StringIO()):
        took = seconds(lambda: model.train(max_epochs=1, batch_size=128, early_stopping=False))
    n = int((adata.obs["perturbation"] != "control").sum())
    print(
        f"{adata.n_obs:,} cells, {kind}: {n / took:,.0f} cells/s, peak {peak_memory():.2f} GiB, of "
        f"it {before:.2f} before training",
        flush=True,
    )


def main() -> None:
    """Write each screen, then train in processes of their own."""
    if len(sys.argv) == 3:
        measure(*sys.argv[1:])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "screen.h5ad"))
        for n_cells in SIZES:
            write(path, n_cells, N_GENES, filled=0.1)
            with h5py.File(path) as file:
                size = file["X/data"].nbytes + file["X/indices"].nbytes
            print(f"{n_cells:,} cells: {size / 2**30:.1f} GiB of stored values", flush=True)
            kinds = ("memory", "backed") if n_cells == SIZES[0] else ("backed",)
            for kind in kinds:
                subprocess.run([sys.executable, __file__, path, kind], check=True)


if __name__ == "__main__":
    main()
