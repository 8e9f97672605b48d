"""Weighted sums of rows by group against a product of dense matrices."""

from __future__ import annotations

from itertools import product

import anndata as ad
import numba
import numpy as np
import pytest
import scipy.sparse as sp

from pertscope._core.weighted_sums import weighted_sums


def problem(n: int = 90, n_genes: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.poisson(1.0, (n, n_genes)).astype(np.float32)
    return x, rng.integers(-1, 4, n), rng.normal(size=n)


def by_product(x, codes, weights, n_groups) -> np.ndarray:
    member = (codes == np.arange(n_groups)[:, None]) * weights
    return member @ x.astype(np.float64)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *product((sp.csr_matrix, sp.csc_matrix), (np.float32, np.float64, np.int32)),
        *product((np.asarray, np.asfortranarray), (np.float16, np.float32, np.float64, np.int32)),
    ],
)
def test_against_a_product(kind, dtype) -> None:
    x, codes, weights = problem()
    got = weighted_sums(kind(x.astype(dtype)), codes, weights, 5)  # the last group has no row
    np.testing.assert_allclose(got, by_product(x, codes, weights, 5), rtol=1e-12, atol=1e-12)
    assert not got[4].any()


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_on_disk(kind, tmp_path) -> None:
    x, codes, weights = problem()
    ad.AnnData(kind(x)).write_h5ad(tmp_path / "x.h5ad")
    matrix = ad.read_h5ad(tmp_path / "x.h5ad", backed="r").X
    got = weighted_sums(matrix, codes, weights, 4)
    np.testing.assert_allclose(got, by_product(x, codes, weights, 4), rtol=1e-12, atol=1e-12)


def test_a_place_that_is_stored_twice_holds_the_sum() -> None:
    x = sp.csr_matrix((np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 2, 2])), shape=(2, 3))
    np.testing.assert_array_equal(
        weighted_sums(x, np.zeros(2, int), np.array([2.0, 1.0]), 1), [[0, 6, 0]]
    )


@pytest.mark.parametrize("kind", [sp.csr_matrix, np.asarray])
def test_same_bytes_whatever_the_threads(kind) -> None:
    x, codes, weights = problem(3000, 40)
    threads, found = numba.get_num_threads(), []
    try:
        for n in (1, threads):
            numba.set_num_threads(n)
            found.append(weighted_sums(kind(x), codes, weights, 4).tobytes())
    finally:
        numba.set_num_threads(threads)
    assert found[0] == found[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", [sp.csr_matrix, np.asarray])
def test_nan_is_refused_by_the_gene(kind, bad) -> None:
    x, codes, weights = problem()
    x[np.flatnonzero(codes == 2)[0], 3] = bad
    with pytest.raises(ValueError, match=r"NaN or infinite values in 1 gene.*'g3'"):
        weighted_sums(kind(x), codes, weights, 4, names=[f"g{i}" for i in range(7)])
    weighted_sums(kind(x), np.where(codes == 2, -1, codes), weights, 4)  # of no group
