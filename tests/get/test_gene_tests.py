"""Tests of genes against scanpy, condition by condition."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scanpy as sc
from tests.helpers import make_screen, refused

import pertscope as ps

PEERS = {
    "t-test": {"method": "t-test"},
    "t-test_overestim_var": {"method": "t-test_overestim_var"},
    "wilcoxon": {"method": "wilcoxon"},
    "wilcoxon tie_correct": {"method": "wilcoxon", "tie_correct": True},
}


@pytest.mark.parametrize("name", PEERS)
def test_papalexi(papalexi, name) -> None:
    """Scores, p-values and adjusted p-values of every gene of every perturbation."""
    counts = papalexi.obs["perturbation"].value_counts()
    adata = papalexi[papalexi.obs["perturbation"].isin(counts.index[counts > 1])].copy()
    ps.pp.register(adata, control="non-targeting")
    ps.pp.normalize(adata)
    method, _, option = name.partition(" ")
    table = ps.get.gene_tests(adata, method=method, tie_correct=bool(option))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy fills a fragmented frame
        sc.tl.rank_genes_groups(adata, "perturbation", reference="non-targeting", **PEERS[name])
    peer = sc.get.rank_genes_groups_df(adata, None)
    ours = table.set_index(["perturbation", "gene"])
    theirs = peer.set_index(["group", "names"])
    theirs.index.names = ours.index.names
    assert len(ours) == len(theirs) == (adata.obs["perturbation"].nunique() - 1) * adata.n_vars
    theirs = theirs.reindex(ours.index)
    defined = np.isfinite(theirs["scores"])
    # scanpy keeps scores in float32
    np.testing.assert_allclose(
        ours["score"][defined], theirs["scores"][defined], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(ours["p_value"][defined], theirs["pvals"][defined], atol=1e-6)
    np.testing.assert_allclose(ours["p_adjusted"][defined], theirs["pvals_adj"][defined], atol=1e-6)


def test_table() -> None:
    adata = make_screen(n_cells=6)
    table = ps.get.gene_tests(adata)
    assert len(table) == 3 * 4 * adata.n_vars
    assert table.columns.tolist() == [
        "cell_type", "perturbation", "gene", "effect", "score", "p_value", "p_adjusted",
    ]  # fmt: skip
    first = table[(table["cell_type"] == "x") & (table["perturbation"] == "A")]
    assert first["gene"].astype(str).tolist() == adata.var_names.tolist()
    np.testing.assert_allclose(first["effect"], ps.get.effects(adata).loc[("x", "A")])
    with refused(adata, ValueError, "`method`='welch' must be one of"):
        ps.get.gene_tests(adata, method="welch")
