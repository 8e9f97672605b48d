"""Recall of known relationships against efaar_benchmarking 1.0.

5,000 genes in 128 dimensions; Reactome, HuMAP and StringDB. The peer reads their files at every
call. We read a file again only if it changed, which the second line does without. Run with
``python benchmarks/bench_recall.py``. The peer pins much that this project does not want:
``pip install --no-deps efaar_benchmarking geomloss`` is enough for its recall.
"""

from __future__ import annotations

import contextlib
import io
import warnings

import anndata as ad
import numpy as np
import pandas as pd
from _data import find
from _timing import compare, peak_memory
from sklearn.utils import Bunch

import pertscope as ps
from pertscope.datasets._relationships import _read_pairs

with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
    warnings.simplefilter("ignore")
    from efaar_benchmarking.benchmarking import known_relationship_benchmark

NAMES = ["Reactome", "HuMAP", "StringDB"]
N_GENES, N_DIMENSIONS = 5_000, 128


def main() -> None:
    """Check that recalls are equal, then time both."""
    folder = find("gene_relationships")
    files = [folder / f"{name}.txt" for name in NAMES]
    every = np.unique(np.concatenate([pd.read_csv(f).to_numpy(str).ravel() for f in files]))
    rng = np.random.default_rng(0)
    genes = rng.choice(every, N_GENES, replace=False)
    obs = pd.DataFrame({"perturbation": ["control", *genes]})
    obs.index = obs.index.astype(str)
    adata = ad.AnnData(np.zeros((len(obs), 1), np.float32), obs=obs)
    adata.obsm["X_rep"] = rng.normal(size=(len(obs), N_DIMENSIONS))
    ps.pp.register(adata)
    bunch = Bunch(features=pd.DataFrame(adata.obsm["X_rep"][1:]), metadata=obs.iloc[1:])

    def ours() -> pd.DataFrame:
        ps.ev.relationship_recall(adata, "X_rep", databases=files)
        return adata.uns["relationship_recall"]

    def ours_anew() -> pd.DataFrame:
        _read_pairs.cache_clear()
        return ours()

    def peer() -> pd.DataFrame:
        return known_relationship_benchmark(
            bunch, "perturbation", benchmark_sources=NAMES, benchmark_data_dir=str(folder)
        )

    found = ours()
    print(f"memory so far, ours: {peak_memory():.2f} GiB")
    expected = peer()
    np.testing.assert_array_equal(found["n_pairs"], expected["query_distribution_size"])
    np.testing.assert_array_equal(found["recall"], expected["recall_0.05_0.95"])
    print(found.to_string())
    compare("relationship recall, 5,000 genes", ours, peer, n=3)
    compare("the same, our files read anew", ours_anew, peer, n=3)


if __name__ == "__main__":
    main()
