"""Time of comparing embeddings of unseen perturbations: nearest neighbours, five folds.

30 embeddings of 100 dimensions x 4 lines x 2,000 perturbations x 6,640 genes, all random; then a
quarter of the embeddings, of the lines, of the perturbations and of the genes, to show how the time
grows. A smaller case is held against scikit-learn's pipeline of the same steps first: the same
predictions, and the ratio of the times. Run with ``python benchmarks/bench_cross_validate.py
[N_EMBEDDINGS] [N_LINES] [N_PERTURBATIONS] [N_GENES]``, for smaller sizes.
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from _timing import compare, peak_memory, seconds

import pertscope as ps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

N_EMBEDDINGS, N_LINES, N_PERTURBATIONS, N_GENES = SIZES = 30, 4, 2_000, 6_640
PARTS = ("embeddings", "lines", "perturbations", "genes")
N_DIMS = 100
NEIGHBORS = (20, 40, 60, 80, 100)
SECONDS = 10 * 60


def random_effects(n_embeddings: int, n_lines: int, n_perturbations: int, n_genes: int) -> AnnData:
    """Screen of random effects, with random embeddings."""
    rng = np.random.default_rng(0)
    names = ["control", *(f"p{i}" for i in range(n_perturbations))]
    lines = [f"line{i}" for i in range(n_lines)]
    x = rng.standard_normal((len(names) * n_lines, n_genes), dtype=np.float32)
    x[:: len(names)] = 0
    obs = pd.DataFrame({"line": np.repeat(lines, len(names)), "perturbation": names * n_lines})
    adata = ad.AnnData(x, obs=obs.set_index(obs["line"] + "|" + obs["perturbation"]))
    ps.pp.register(adata, covariate_keys=["line"])
    for i in range(n_embeddings):
        table = rng.standard_normal((n_perturbations, N_DIMS), dtype=np.float32)
        with contextlib.redirect_stdout(io.StringIO()):
            frame = pd.DataFrame(table, index=names[1:])
            ps.pp.add_perturbation_embedding(adata, frame, f"e{i}")
    return adata


def embeddings(adata: AnnData) -> list[str]:
    """Names of its embeddings."""
    return list(adata.uns["pertscope"]["perturbation_embeddings"])


def by_sklearn(adata: AnnData, name: str, neighbors: Sequence[int]) -> pd.DataFrame:
    """The protocol written out: pipeline, grid search, prediction, for each line and fold."""
    from sklearn.decomposition import PCA
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def l2(y: np.ndarray, found: np.ndarray) -> float:
        return float(np.linalg.norm(y - found, axis=1).mean())

    table = adata.uns["pertscope"]["perturbation_embeddings"][name]["table"]
    fold, line = adata.obs["fold"], adata.obs["line"]
    parts = []
    for one in line.unique():
        for f in fold.cat.categories:
            here = (line == one) & fold.notna()
            train, test = adata[here & (fold != f)], adata[here & (fold == f)]
            project = make_pipeline(StandardScaler(), PCA(N_DIMS, svd_solver="full"))
            z = project.fit_transform(table.loc[train.obs["perturbation"].astype(str)].to_numpy())
            score = make_scorer(l2, greater_is_better=False)
            grid = {"n_neighbors": list(neighbors)}
            search = GridSearchCV(KNeighborsRegressor(), grid, scoring=score, cv=5)
            search.fit(z, train.X)
            new = project.transform(table.loc[test.obs["perturbation"].astype(str)].to_numpy())
            parts.append(pd.DataFrame(search.predict(new), index=test.obs_names))
    return pd.concat(parts)


def against_sklearn() -> None:
    """The same predictions for one number of neighbours, and the ratio of the times for five."""
    adata = random_effects(2, 2, 500, 1_000)
    ps.tl.cross_validate(adata, "knn", "e0", n_neighbors=[20])
    want = by_sklearn(adata, "e0", [20])
    got = ps.get.prediction(adata, "knn_e0")[want.index].X
    np.testing.assert_allclose(got, want, atol=1e-4)
    compare(
        "5-fold kNN of 1 embedding x 2 lines x 500 perturbations x 1,000 genes",
        lambda: ps.tl.cross_validate(adata, "knn", "e0", n_neighbors=NEIGHBORS),
        lambda: by_sklearn(adata, "e0", NEIGHBORS),
        n=3,
    )


def measure(sizes: list[int]) -> float:
    """Seconds of the whole protocol."""
    adata = random_effects(*sizes)
    names = embeddings(adata)
    return seconds(lambda: ps.tl.cross_validate(adata, "knn", names, n_neighbors=NEIGHBORS))


def main() -> None:
    """Print all times; fails if the whole size takes more than it may."""
    given = [int(a) for a in sys.argv[1:]]
    sizes = [*given, *SIZES[len(given) :]]
    against_sklearn()
    for i, part in enumerate(PARTS):
        smaller = [max(1, n // 4) if i == j else n for j, n in enumerate(sizes)]
        print(f"a quarter of the {part}, {smaller}: {measure(smaller):.1f} s")
    whole = measure(sizes)
    print(f"all, {sizes}: {whole:.1f} s, peak {peak_memory():.2f} GiB of the process")
    if not given and whole > SECONDS:
        sys.exit(f"more than {SECONDS} s")


if __name__ == "__main__":
    main()
