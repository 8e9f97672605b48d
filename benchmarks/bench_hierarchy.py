"""The six levels of `ps.ev.evaluate_representations` for one representation, level by level.

200,000 cells x 128 dimensions by default, 100 perturbations and 6 % controls in 10 batches, 2,000
genes of which 10 % are stored. All levels at the settings that `evaluate_representations` has (5
seeds; 250 epochs of the linear probe, 30 of the decoder); its random labels, the floor, take as
long again. Run with ``python benchmarks/bench_hierarchy.py [cells] [levels, such as 124]``.
Processor seconds are those of all threads: on a machine that others use, their half is what two
free cores take.
"""

from __future__ import annotations

import sys
import time
from itertools import combinations

import numpy as np
import pandas as pd
from _timing import peak_memory, random_screen

import pertscope as ps

N_DIMENSIONS, N_GENES, N_PERTURBATIONS, N_BATCHES = 128, 2_000, 100, 10
CONTROLS = 0.05


def screen(n_cells: int, seed: int = 0) -> tuple[object, pd.DataFrame]:
    """Screen with a representation, and known pairs of its perturbations."""
    rng = np.random.default_rng(seed)
    adata = random_screen(n_cells, N_GENES, N_PERTURBATIONS + 1, filled=0.1)
    adata.obs.loc[rng.random(n_cells) < CONTROLS, "perturbation"] = "control"
    batch = rng.integers(N_BATCHES, size=n_cells)
    adata.obs["batch"] = pd.Categorical([f"b{b}" for b in batch])
    perturbation = adata.obs["perturbation"].cat.codes.to_numpy()
    size = 1 / np.sqrt(1 + np.arange(N_DIMENSIONS) / 8)  # variances fall as those of components
    shift = 0.3 * rng.normal(size=(N_PERTURBATIONS + 1, N_DIMENSIONS))
    of_batch = 0.2 * rng.normal(size=(N_BATCHES, N_DIMENSIONS))
    x = rng.normal(size=(n_cells, N_DIMENSIONS)) + shift[perturbation] + of_batch[batch]
    adata.obsm["X_rep"] = (size * x).astype(np.float32)
    ps.pp.register(adata, batch_key="batch")
    genes = [p for p in adata.obs["perturbation"].cat.categories if p != "control"]
    pairs = np.array(list(combinations(genes, 2)))
    known = pairs[rng.choice(len(pairs), 300, replace=False)]
    return adata, pd.DataFrame(known, columns=["entity1", "entity2"])


def judge(adata: object, level: int, known: pd.DataFrame, **settings: int) -> object:
    """One level of the representation, and its table."""
    key, seeds = "judged", {"n_seeds": settings.get("n_seeds", 5)}
    epochs = {k: v for k, v in settings.items() if k == "n_epochs"}
    if level == 1:
        ps.ev.integration(adata, "X_rep", metrics=["ilisi"], key_added=key)
    elif level == 2:
        ps.ev.linear_probe(adata, "X_rep", **seeds, **epochs, key_added=key)
    elif level == 3:
        ps.ev.consistency(adata, "X_rep", key_added=key)
    elif level == 4:
        ps.ev.knn_accuracy(adata, "X_rep", **seeds, key_added=key)
    elif level == 5:
        ps.ev.relationship_recall(adata, "X_rep", databases=[known], key_added=key)
    else:
        ps.ev.reconstruction(adata, "X_rep", **seeds, **epochs, key_added=key)
    return adata.uns[key]


def main() -> None:
    """Time each level, and print what it found."""
    n_cells = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    levels = [int(c) for c in sys.argv[2]] if len(sys.argv) > 2 else [1, 2, 3, 4, 5, 6]
    adata, known = screen(n_cells)
    small, known_small = screen(5_000)
    for level in levels:  # compiles
        judge(small, level, known_small, n_seeds=1, n_epochs=1)
    print(f"{n_cells} cells, memory before: {peak_memory():.2f} GiB", flush=True)
    total = [0.0, 0.0]
    for level in levels:
        start = time.perf_counter(), time.process_time()
        table = judge(adata, level, known)
        spent = time.perf_counter() - start[0], time.process_time() - start[1]
        total = [a + b for a, b in zip(total, spent, strict=True)]
        print(
            f"level {level}: {spent[0]:.1f} s, of processors {spent[1]:.1f} s, memory so far "
            f"{peak_memory():.2f} GiB",
            flush=True,
        )
        print(table.head(3).to_string(), flush=True)
    print(f"all: {total[0]:.0f} s, of processors {total[1]:.0f} s, {peak_memory():.2f} GiB")


if __name__ == "__main__":
    main()
