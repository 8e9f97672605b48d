"""Moments by condition against ``scanpy.get.aggregate``, t-tests against ``rank_genes_groups``.

100,000 cells x 2,000 genes, 18 % stored, 100 groups; a plain loop over the rows by two threads as a
yardstick. Run with
``python benchmarks/bench_moments.py``.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import anndata as ad
import numba
import numpy as np
import scanpy as sc
from _timing import compare, random_screen

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.moments import moments
from pertscope._core.screen import Screen
from pertscope._core.t_test import t_test

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope._core.conditions import Conditions
    from pertscope._core.gene_test import GeneTest

EVERY = ("count_nonzero", "sum", "mean", "var")
"""All moments that the peer has; it reads the matrix for each of them."""


@numba.njit(parallel=True, nogil=True)
def plain_loop(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    codes: np.ndarray,
    n_groups: int,
    n_genes: int,
) -> np.ndarray:
    """Sums and sums of squares by group, each of two threads over its half of the rows."""
    sums = np.zeros((2, n_groups, n_genes, 2))
    half = (len(indptr) - 1) // 2
    for t in numba.prange(2):
        for row in range(t * half, half if t == 0 else len(indptr) - 1):
            for i in range(indptr[row], indptr[row + 1]):
                value = np.float64(data[i])
                sums[t, codes[row], indices[i], 0] += value
                sums[t, codes[row], indices[i], 1] += value * value
    return sums[0] + sums[1]


def main() -> None:
    """Check that results are equal, then time both."""
    adata = random_screen(100_000, 2_000, 100, filled=0.18)
    ps.pp.register(adata)
    conditions = screen_conditions(adata, Screen.of(adata))
    compare_moments(adata, conditions)
    compare_tests(adata, conditions)


def compare_moments(adata: ad.AnnData, conditions: Conditions) -> None:
    """Time moments of a matrix of each kind."""
    n, codes, names = len(conditions), conditions.codes, conditions.labels

    def ours_moments() -> object:
        return moments(adata.X, codes, n)

    def peer(*functions: str) -> Callable[[], ad.AnnData]:
        return partial(sc.get.aggregate, adata, "perturbation", list(functions))

    found, theirs = ours_moments(), peer("mean", "var")()
    np.testing.assert_array_equal(theirs.obs_names, names)
    np.testing.assert_allclose(found.mean, theirs.layers["mean"], rtol=1e-6)
    unbiased = found.m2 / (found.n[:, None] - 1)
    np.testing.assert_allclose(unbiased, theirs.layers["var"], rtol=1e-5)
    for functions in (("mean", "var"), ("count_nonzero", "mean", "var"), EVERY):
        compare(f"CSR, {', '.join(functions)}", ours_moments, peer(*functions))
    stored = adata.X.data, adata.X.indices, adata.X.indptr
    plain = partial(plain_loop, *stored, codes, n, adata.n_vars)
    np.testing.assert_allclose(plain()[..., 0] / found.n[:, None], found.mean, rtol=1e-9)
    compare("CSR, beside a plain loop by two threads", ours_moments, plain)
    for name, x in (("CSC", adata.X.tocsc()), ("dense", adata.X.toarray())):
        other = ad.AnnData(x, obs=adata.obs, var=adata.var)
        aggregate = partial(sc.get.aggregate, other, "perturbation", ["mean", "var"])
        np.testing.assert_allclose(moments(x, codes, n).mean, aggregate().layers["mean"], rtol=1e-5)
        compare(f"{name}, mean and variance", partial(moments, x, codes, n), aggregate, n=3)


def compare_tests(adata: ad.AnnData, conditions: Conditions) -> None:
    """Time t-tests of all conditions against the controls, and each against all others."""
    n, codes, names = len(conditions), conditions.codes, conditions.labels

    def ours_against_control() -> GeneTest:
        return t_test(moments(adata.X, codes, n), conditions.control_of)

    def ours_against_rest() -> GeneTest:
        found = moments(adata.X, codes, n)
        both = found + found.rest(np.zeros(n, np.int64))
        return t_test(both, np.tile(np.arange(n, 2 * n), 2))[np.arange(n)]

    def peer(reference: str) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scanpy fills a fragmented frame
            sc.tl.rank_genes_groups(adata, "perturbation", reference=reference, method="t-test")
        return adata.uns["rank_genes_groups"]

    for reference, ours in (("control", ours_against_control), ("rest", ours_against_rest)):
        found, result = ours(), peer(reference)
        for i, name in enumerate(names):
            if name != reference:
                order = adata.var_names.get_indexer(result["names"][name])
                np.testing.assert_allclose(found.score[i][order], result["scores"][name], atol=1e-3)
                np.testing.assert_allclose(
                    found.p_adjusted[i][order], result["pvals_adj"][name], atol=1e-6
                )
        repeats = 3 if reference == "control" else 1
        compare(
            f"Welch t-test of all against {reference}", ours, partial(peer, reference), n=repeats
        )


if __name__ == "__main__":
    main()
