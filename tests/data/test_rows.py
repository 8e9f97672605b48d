from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import fingerprint

from pertscope.data.rows import Rows, SparseBatch, dense

KINDS = {
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "csr array": sp.csr_array,
    "dense": np.asarray,
    "fortran": np.asfortranarray,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [[3, 0, 0, 5], [1], [], [5, 4, 3, 2, 1, 0]])
def test_rows(kind, dtype, rows) -> None:
    values = np.random.default_rng(0).poisson(0.5, (6, 4)).astype(dtype)
    values[3] = values[5] = 0  # empty rows
    x = KINDS[kind](values)
    before = fingerprint(x)
    batch = Rows(x)(np.array(rows, dtype=np.int64))
    got = dense(batch)
    assert isinstance(batch, SparseBatch) == sp.issparse(x)
    assert got.dtype == torch.float32
    assert got.shape == (len(rows), 4)
    np.testing.assert_array_equal(got.numpy(), values[rows].astype(np.float32))
    got += 1
    assert fingerprint(x) == before


@given(st.integers(0, 6), st.integers(1, 5), st.floats(0, 1), st.integers(0, 9))
def test_sparse_batch_is_toarray(n_rows, n_columns, density, seed) -> None:
    rng = np.random.default_rng(seed)
    x = sp.random(7, n_columns, density=density, format="csr", dtype=np.float32, random_state=rng)
    rows = rng.integers(0, 7, n_rows)
    batch = Rows(x)(rows)
    assert batch.shape == (n_rows, n_columns)
    assert len(batch.values) == len(batch.places) == x[rows].nnz
    np.testing.assert_array_equal(dense(batch).numpy(), x[rows].toarray())
    moved = batch.to(torch.device("cpu"))
    np.testing.assert_array_equal(dense(moved).numpy(), x[rows].toarray())


def test_unsorted_and_repeated_indices() -> None:
    """What a matrix stores in two entries of one place is their sum, as elsewhere."""
    entries = np.array([1.0, 2, 3, 4], np.float32), np.array([2, 0, 0, 1]), np.array([0, 3, 4])
    x = sp.csr_matrix(entries, shape=(2, 3))
    assert not x.has_canonical_format
    got = dense(Rows(x)(np.array([1, 0])))
    np.testing.assert_array_equal(got.numpy(), [[0, 4, 0], [5, 0, 1]])
    assert x.nnz == 4  # the screen's own matrix is as it was


def test_a_large_batch_has_places_beyond_int32() -> None:
    x = sp.csr_matrix(([1.0], ([0], [2**31 - 2])), shape=(1, 2**31 - 1))
    assert x.indices.dtype == np.int32
    assert Rows(x)(np.array([0, 0])).places.tolist() == [2**31 - 2, 2**32 - 3]


def test_indices_of_two_kinds_are_made_one() -> None:
    """As files hold them: SciPy would convert all indices whenever rows are taken."""
    x = sp.random_array((50, 20), density=0.2, format="csr", dtype=np.float32)
    x = sp.csr_matrix(x)
    x.indptr = x.indptr.astype(np.int64)
    assert x.indptr.dtype != x.indices.dtype
    held = Rows(x).x
    assert held.indptr.dtype == held.indices.dtype == np.int32
    np.testing.assert_array_equal(held.toarray(), x.toarray())
