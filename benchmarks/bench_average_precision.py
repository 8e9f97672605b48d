"""Average precision of CPJUMP1's wells against copairs, and of 12 million negative pairs.

The peer is ``copairs.map.average_precision`` on the same 2,240 queries, equal results first. Then
1,000 perturbations x 6 profiles rank 2,000 controls; that process has to stay under 1 GiB, hence it
is run first. Run with ``python benchmarks/bench_average_precision.py``.
"""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
from _timing import compare, peak_memory, seconds
from cpjump1 import load

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope.ev._average_precision import Retrieval, average_precision
from pertscope.ev._phenotypic_activity import controls_of, grouped

N_PERTURBATIONS, N_PROFILES, N_CONTROLS, N_FEATURES = 1_000, 6, 2_000, 500


def ours(adata: ad.AnnData) -> tuple[np.ndarray, Retrieval]:
    """Rows of the queries, and what they retrieve, from labels to values."""
    conditions = screen_conditions(adata, Screen.of(adata))
    chosen = np.flatnonzero(~conditions.is_control)
    queries = grouped(conditions, chosen, np.empty((adata.n_obs, 0), np.int64))
    candidates = controls_of(adata.obs, conditions, queries, ["Plate"])
    return queries.members, average_precision(adata.X, queries, candidates)


def peer(adata: ad.AnnData) -> pd.DataFrame:
    """Queries in the order of the rows."""
    from copairs.map import average_precision

    meta = adata.obs[["broad_sample", "Plate"]].reset_index(drop=True)
    meta["reference"] = np.where(meta["broad_sample"] == "DMSO", meta.index, -1)
    found = average_precision(
        meta,
        adata.X,
        ["broad_sample", "reference"],
        [],
        ["Plate"],
        ["broad_sample", "reference"],
        progress_bar=False,
    )
    return found[found["reference"] == -1]


def many_pairs() -> None:
    """Time and memory of 12 million negative pairs."""
    rng = np.random.default_rng(0)
    labels = [f"p{i}" for i in range(N_PERTURBATIONS) for _ in range(N_PROFILES)]
    labels += ["control"] * N_CONTROLS
    x = rng.normal(size=(len(labels), N_FEATURES)).astype(np.float32)
    obs = pd.DataFrame({"perturbation": labels}, index=[f"w{i}" for i in range(len(labels))])
    obs["Plate"] = "one"
    adata = ad.AnnData(x, obs=obs)
    ps.pp.register(adata, batch_key="Plate")
    before = peak_memory()
    ours(adata[::50].copy())  # compile
    times = [seconds(lambda: ours(adata)) for _ in range(3)]
    after = peak_memory()
    whole = seconds(lambda: ps.ev.phenotypic_activity(adata))
    print(
        f"{N_PERTURBATIONS * N_PROFILES * N_CONTROLS:,} negative pairs in {N_FEATURES} features: "
        f"{min(times):.2f} to {max(times):.2f} s, peak of the process {after:.2f} GiB "
        f"({before:.2f} before); with p-values from 100,000 draws {whole:.2f} s, "
        f"{peak_memory():.2f} GiB"
    )


def main() -> None:
    """Print both."""
    logging.getLogger("copairs").setLevel(logging.WARNING)
    many_pairs()
    adata = load()
    rows, found = ours(adata)
    expected = peer(adata)
    order = np.argsort(rows)
    np.testing.assert_array_equal(rows[order], expected.index)
    np.testing.assert_allclose(found.value[order], expected["average_precision"], atol=1e-6)
    np.testing.assert_array_equal(found.n_positives[order], expected["n_pos_pairs"])
    compare("average precision of 2,240 wells of CPJUMP1", lambda: ours(adata), lambda: peer(adata))


if __name__ == "__main__":
    main()
