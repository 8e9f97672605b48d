"""Peak memory of moments over one million cells x 5,000 genes on disk, 10 % stored.

Writes the file (about 4 GB) to a temporary folder first. Run with
``python benchmarks/bench_backed.py``.
"""

from __future__ import annotations

import anndata as ad
from _backed_screen import in_own_processes, write
from _timing import peak_memory, seconds

import pertscope as ps

N_CELLS, N_GENES = 1_000_000, 5_000


def measure(path: str) -> None:
    """Read the effects of all conditions from disk, and report the peak."""
    adata = ad.read_h5ad(path, backed="r")
    ps.pp.register(adata)
    before = peak_memory()
    time = seconds(lambda: ps.get.effects(adata))
    print(
        f"effects of {N_CELLS:,} x {N_GENES:,} backed: {time:.1f} s, peak {peak_memory():.2f} GiB "
        f"of the whole process, {before:.2f} GiB before"
    )


if __name__ == "__main__":
    in_own_processes(lambda path: write(path, N_CELLS, N_GENES), measure)
