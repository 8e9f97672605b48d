"""Rank-sum test of all conditions against ``pdex`` and ``scanpy.tl.rank_genes_groups``.

100,000 cells x 2,000 genes, 18 % stored, 100 groups. pdex also computes means and fold changes. Run
with ``NUMBA_NUM_THREADS=2 python benchmarks/bench_wilcoxon.py``; all use these threads.
"""

from __future__ import annotations

import contextlib
import io
import warnings

import numba
import numpy as np
import scanpy as sc
from _timing import compare, random_screen
from pdex import pdex

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.rank_sum import rank_sum_test
from pertscope._core.screen import Screen


def main() -> None:
    """Check that results are equal, then time all."""
    adata = random_screen(100_000, 2_000, 100, filled=0.18)
    ps.pp.register(adata)
    conditions = screen_conditions(adata, Screen.of(adata))
    shape = conditions.codes, len(conditions), conditions.control_of
    n_threads = numba.get_num_threads()
    print(f"{n_threads} threads")

    def ours_corrected() -> object:
        return rank_sum_test(adata.X, *shape, tie_correct=True, continuity=True)

    def peer_pdex() -> object:
        options = {"mode": "ref", "reference": "control", "is_log1p": True, "threads": n_threads}
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
            return pdex(adata, "perturbation", **options)

    found, peer = ours_corrected(), peer_pdex()
    by_label = dict(zip(conditions.labels, range(len(conditions)), strict=True))
    rows = [by_label[label] for label in peer["target"].to_list()]
    genes = adata.var_names.get_indexer(peer["feature"].to_list())
    np.testing.assert_allclose(found.p_value[rows, genes], peer["p_value"].to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(found.p_adjusted[rows, genes], peer["fdr"].to_numpy(), rtol=1e-9)
    compare("rank-sum test, ties and continuity, against pdex", ours_corrected, peer_pdex)

    def ours() -> object:
        return rank_sum_test(adata.X, *shape)

    def peer_scanpy() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scanpy fills a fragmented frame
            sc.tl.rank_genes_groups(adata, "perturbation", reference="control", method="wilcoxon")
        return adata.uns["rank_genes_groups"]

    found, peer = ours(), peer_scanpy()
    for name, i in by_label.items():
        if name != "control":
            order = adata.var_names.get_indexer(peer["names"][name])
            np.testing.assert_allclose(found.score[i][order], peer["scores"][name], rtol=1e-6)
            np.testing.assert_allclose(
                found.p_adjusted[i][order], peer["pvals_adj"][name], rtol=1e-9
            )
    compare("rank-sum test against scanpy", ours, peer_scanpy, n=1)


if __name__ == "__main__":
    main()
