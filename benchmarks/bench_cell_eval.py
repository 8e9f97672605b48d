"""The whole list of cell-eval's metrics, by cell-eval and by pertscope.

20,000 cells x 2,000 genes x 100 perturbations, predicted cells as many as observed ones. Each side
runs in a process of its own, once on few cells to compile, then three times on the clock; three
such processes of each take turns, because a machine is not as fast at all times. The tables are
compared. Run with ``python benchmarks/bench_cell_eval.py``; it needs the test extras.
"""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from _timing import peak_memory, random_screen, seconds

import pertscope as ps

N_CELLS, N_GENES, N_PERTURBATIONS, THREADS, ROUNDS = 20_000, 2_000, 100, 2, 3


def screen(n_cells: int, seed: int) -> ad.AnnData:
    """Cells of which 5 % of the genes answer to each perturbation, the same for every seed."""
    adata = random_screen(n_cells, N_GENES, N_PERTURBATIONS, filled=0.18, seed=seed)
    codes = adata.obs["perturbation"].cat.codes.to_numpy()
    rng = np.random.default_rng([seed, 1])
    effects = np.random.default_rng(7).choice(
        [0.2, 1.0, 3.0], (N_PERTURBATIONS, N_GENES), p=[0.025, 0.95, 0.025]
    )
    effects[adata.obs["perturbation"].cat.categories.get_loc("control")] = 1
    rows = np.repeat(codes, np.diff(adata.X.indptr))
    factor = effects[rows, adata.X.indices]
    silent = (factor < 1) & (rng.random(len(factor)) < 0.8)  # fewer cells express what is down
    adata.X.data = np.where(silent, 0, adata.X.data * factor).astype(np.float32)
    adata.X.eliminate_zeros()
    return adata


def by_pertscope(observed: ad.AnnData, predicted: ad.AnnData) -> pd.DataFrame:
    """Judge under cell-eval's conventions."""
    ps.pp.register(observed)
    ps.pp.add_prediction(observed, predicted, "model")
    ps.ev.evaluate(observed, split=None, compat="cell-eval", floor=False, ceiling=False)
    table = observed.uns["evaluation"].astype({"perturbation": str, "metric": str})
    return table.pivot_table(index="perturbation", columns="metric", values="value")


def by_cell_eval(observed: ad.AnnData, predicted: ad.AnnData) -> pd.DataFrame:
    """Judge by the tool itself."""
    from cell_eval import MetricsEvaluator

    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = MetricsEvaluator(
            adata_pred=predicted,
            adata_real=observed,
            control_pert="control",
            pert_col="perturbation",
            num_threads=THREADS,
            outdir=folder,
        )
        scores, _ = evaluator.compute(profile="full", write_csv=False)
    table = pd.DataFrame(scores.to_dict(as_series=False))
    return table.set_index("perturbation").astype(float)


SIDES = {"pertscope": by_pertscope, "cell_eval": by_cell_eval}


def measure(side: str, folder: str) -> None:
    """Run one side, and leave its table and its cost."""
    judge = SIDES[side]
    judge(*(ad.read_h5ad(Path(folder, f"small{i}.h5ad")) for i in range(2)))  # compiles
    observed, predicted = (ad.read_h5ad(Path(folder, f"large{i}.h5ad")) for i in range(2))
    before = peak_memory()
    tables = []
    first = seconds(lambda: tables.append(judge(observed, predicted)))
    cost = {"first": first, "peak": peak_memory(), "before": before}
    again = [seconds(lambda: judge(observed, predicted)) for _ in range(2)]
    cost["time"] = statistics.median([first, *again])
    tables[0].to_csv(Path(folder, f"{side}.csv"))
    Path(folder, f"{side}.json").write_text(json.dumps(cost))


def main() -> None:
    """Measure both sides and compare what they found."""
    if len(sys.argv) == 3:
        measure(*sys.argv[1:])
        return
    with tempfile.TemporaryDirectory() as folder:
        for i in range(2):
            screen(2_000, 2 + i).write_h5ad(Path(folder, f"small{i}.h5ad"))
            screen(N_CELLS, i).write_h5ad(Path(folder, f"large{i}.h5ad"))
        rounds: list[dict[str, dict[str, float]]] = []
        for _ in range(ROUNDS):
            cost = {}
            for side in SIDES:
                command = [sys.executable, sys.argv[0], side, folder]
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
                cost[side] = json.loads(Path(folder, f"{side}.json").read_text())
            rounds.append(cost)
        table = {side: pd.read_csv(Path(folder, f"{side}.csv"), index_col=0) for side in SIDES}
    found = {
        side: {k: statistics.median(r[side][k] for r in rounds) for k in rounds[0][side]}
        for side in SIDES
    }
    for side, cost in found.items():
        print(
            f"{side}: {cost['time']:.2f} s (the first {cost['first']:.2f}), peak "
            f"{cost['peak']:.2f} GiB of the whole process, {cost['before']:.2f} GiB before"
        )
    ratios = sorted(r["cell_eval"]["time"] / r["pertscope"]["time"] for r in rounds)
    print(
        f"medians of {ROUNDS} rounds; ratio of times {statistics.median(ratios):.1f} "
        f"(from {ratios[0]:.1f} to {ratios[-1]:.1f})",
        end=", ",
    )
    ours, theirs = found["pertscope"], found["cell_eval"]
    print(f"of peaks {theirs['peak'] / ours['peak']:.1f}", end=", ")
    added = [c["peak"] - c["before"] for c in (theirs, ours)]
    print(f"of what was added {added[0] / added[1]:.1f}")
    compare_tables(table["pertscope"], table["cell_eval"])


def compare_tables(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Print the largest difference of every metric."""
    for name in theirs.columns:
        if name not in ours.columns:
            print(f"  {name}: not ours")
            continue
        mine = ours[name].drop("(all)", errors="ignore").dropna()
        if mine.empty:
            mine = pd.Series(ours[name].loc["(all)"], index=theirs.index)
        both = pd.concat([mine, theirs[name]], axis=1).dropna()
        gap = (both.iloc[:, 0] - both.iloc[:, 1]).abs().max()
        print(f"  {name}: largest difference {gap:.1e} over {len(both)} perturbations")


if __name__ == "__main__":
    main()
