"""Moments by condition against ``scanpy.get.aggregate``, t-tests against ``rank_genes_groups``.

100,000 cells x 2,000 genes, 18 % stored, 100 groups. Run with
``python benchmarks/bench_moments.py``.
"""

from __future__ import annotations

import warnings

import numpy as np
import scanpy as sc
from _timing import compare, random_screen

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.moments import moments
from pertscope._core.screen import Screen
from pertscope._core.t_test import t_test


def main() -> None:
    """Check that results are equal, then time both."""
    adata = random_screen(100_000, 2_000, 100, filled=0.18)
    ps.pp.register(adata)
    conditions = screen_conditions(adata, Screen.of(adata))
    n, codes, names = len(conditions), conditions.codes, conditions.labels

    def ours_moments() -> object:
        return moments(adata.X, codes, n)

    def peer_moments() -> object:
        return sc.get.aggregate(adata, "perturbation", ["count_nonzero", "mean", "var"])

    def peer_mean_var() -> object:
        return sc.get.aggregate(adata, "perturbation", ["mean", "var"])

    found, peer = ours_moments(), peer_moments()
    np.testing.assert_array_equal(peer.obs_names, names)
    np.testing.assert_allclose(found.mean, peer.layers["mean"], rtol=1e-6)
    unbiased = found.m2 / (found.n[:, None] - 1)
    np.testing.assert_allclose(unbiased, peer.layers["var"], rtol=1e-5)
    compare("mean and variance", ours_moments, peer_mean_var)
    compare("n, mean and variance", ours_moments, peer_moments)

    def ours_t() -> object:
        return t_test(moments(adata.X, codes, n), conditions.control_of)

    def peer_t() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scanpy fills a fragmented frame
            sc.tl.rank_genes_groups(adata, "perturbation", reference="control", method="t-test")
        return adata.uns["rank_genes_groups"]

    found, peer = ours_t(), peer_t()
    for i, name in enumerate(names):
        if name != "control":
            order = adata.var_names.get_indexer(peer["names"][name])
            np.testing.assert_allclose(found.score[i][order], peer["scores"][name], atol=1e-4)
            np.testing.assert_allclose(
                found.p_adjusted[i][order], peer["pvals_adj"][name], atol=1e-6
            )
    compare("Welch t-test of all conditions", ours_t, peer_t, n=3)


if __name__ == "__main__":
    main()
