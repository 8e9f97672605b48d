"""Unseen genes by a protein network, on two small real screens, with bounds.

Single genes activated in K562 (PerturBench's devel screen) and knocked out in THP-1 (Papalexi's
ECCITE-seq screen): effects of genes never tried from embeddings of STRING, by nearest neighbours
and ridge, five folds; against the mean effect of the other genes, random vectors, the idealised
embedding and the experimental error. With so few genes little can be learned, and the intervals
show it. Reads ``perturbench_devel``, ``sceptre_papalexi_lowmoi`` and ``gene_relationships`` under
``$PERTSCOPE_DATA`` or ``../shared/data``. Run with ``python benchmarks/unseen_genes.py``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import anndata as ad
from _data import find
from _unseen_report import report

import pertscope as ps

if TYPE_CHECKING:
    from anndata import AnnData

REGRESSORS = {"knn": {"n_neighbors": [2, 3, 5, 10]}, "ridge": {}}
BOUNDS = ("train_mean", "no_change", "random", "idealised")
N_DIMS = 128


def k562() -> AnnData:
    """Single genes activated in K562; no batches are known."""
    adata = ad.read_h5ad(find("perturbench_devel/devel.h5ad"))
    label = adata.obs["condition"].astype(str)
    adata = adata[(adata.obs["cell_type"] == "k562") & ~label.str.contains("+", regex=False)].copy()
    ps.pp.register(adata, perturbation_key="condition")
    return adata


def papalexi() -> AnnData:
    """Genes knocked out in THP-1; three replicates."""
    adata = ad.read_h5ad(find("sceptre_papalexi_lowmoi/papalexi_lowmoi.h5ad"))
    ps.pp.register(adata, control="non-targeting", batch_key="bio_rep")
    ps.pp.normalize(adata)
    return adata


def judge(adata: AnnData) -> None:
    """Cross-validate embeddings of STRING, and report."""
    batched = ps.get.screen(adata).screen.batch_key is not None
    method = "hierarchical-bootstrap" if batched else "bootstrap"
    draws = {"n_outer": 10, "n_inner": 10} if batched else {"n_outer": 100}
    name = "l2_ba_ate" if batched else "l2_effect"
    ps.ev.ceiling(adata, metrics=[name], method=method, **draws)
    screen = ps.tl.effects(adata)
    graph = ps.datasets.relationships(find("gene_relationships/StringDB.txt"))
    tables = {
        "string_spectral": ps.tl.embed_spectral(graph, N_DIMS),
        "string_walk": ps.tl.embed_random_walk(graph, N_DIMS),
    }
    for embedding, table in tables.items():
        ps.pp.add_perturbation_embedding(screen, table, embedding)
    for regressor, settings in REGRESSORS.items():
        ps.tl.cross_validate(screen, regressor, list(tables), bounds=BOUNDS, **settings)
    print()
    report(screen, adata.uns["ceiling"])


def main() -> None:
    """Print both reports."""
    warnings.filterwarnings("ignore", message=r".*get no row|no vector in|received a view")
    for name, adata in (("K562, single genes activated", k562()), ("Papalexi", papalexi())):
        n = adata.obs[ps.get.screen(adata).screen.perturbation_key].nunique() - 1
        print(f"\n{name}: {n} genes perturbed, {adata.n_vars} measured, {adata.n_obs:,} cells")
        judge(adata)


if __name__ == "__main__":
    main()
