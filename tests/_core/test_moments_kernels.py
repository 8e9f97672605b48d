"""Exact where it can be, same bytes for any number of threads, right for any values."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests._core.matrices import KINDS, N_GROUPS, assert_close, assert_same_bytes, by_loop, lazy
from tests.helpers import dense

from pertscope._core import matrix
from pertscope._core import moments as moments_file
from pertscope._core.moments import moments


@pytest.fixture(scope="module", autouse=True, params=["in order", "by group"])
def _rows(request):
    """Rows of CSR are read in their order, or group by group."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "by group":
            patch.setattr(moments_file, "CACHED_BYTES", 0)
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_same_bytes_for_any_number_of_threads(kind, rng, monkeypatch) -> None:
    monkeypatch.setattr(moments_file, "ROWS_PER_TASK", 64)
    x = KINDS[kind](np.log1p(rng.poisson(1, (3000, 7))))
    codes = rng.integers(-1, N_GROUPS, 3000)
    threads = numba.get_num_threads()
    results = []
    try:
        for n in {1, threads}:
            numba.set_num_threads(n)
            results.append(moments(x, codes, N_GROUPS))
    finally:
        numba.set_num_threads(threads)
    for other in results[1:]:
        assert_same_bytes(results[0], other)
    assert_close(results[0], by_loop(dense(x), codes))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1, -7.7, 0.0])
@pytest.mark.parametrize("kind", KINDS)
def test_constant_genes_have_no_variance(kind, value, tmp_path, monkeypatch) -> None:
    """Also where the group is cut into tasks and blocks of unequal size."""
    monkeypatch.setattr(moments_file, "ROWS_PER_TASK", 100)
    x = np.full((950, 2), value)
    codes = np.repeat([0, 1], [930, 20])
    monkeypatch.setattr(matrix.blocks, "__defaults__", (3000,))
    for x_of_kind in (KINDS[kind](x), lazy(f"h5ad {kind}", x, tmp_path)):
        got = moments(x_of_kind, codes, 2)
        assert (got.m2 == 0).all()
        assert (got.mean == value).all()
    assert (got.pool(np.zeros(2, int), 1).variance == 0).all()


@pytest.mark.parametrize(("kind", "rtol"), [("dense", 1e-9), ("csc", 1e-9), ("csr", 1e-5)])
def test_large_means_and_small_spreads(kind, rtol, rng, monkeypatch) -> None:
    monkeypatch.setattr(moments_file, "ROWS_PER_TASK", 500)
    x = 1e4 + rng.normal(size=(2000, 3))
    codes = rng.integers(0, 2, 2000)
    got, want = moments(KINDS[kind](x), codes, 2), by_loop(x, codes, 2)
    np.testing.assert_allclose(got.mean, want.mean, rtol=1e-14)
    np.testing.assert_allclose(got.m2, want.m2, rtol=rtol)


# no values whose squares underflow
numbers = st.floats(-1e6, 1e6).map(lambda v: v if abs(v) > 1e-100 else 0.0)
values = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([0.0, 0.0, 1.0, 0.1, -2.5, 1e-9, 3e7]) | numbers,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(x=values, data=st.data())
@example(x=np.zeros((1, 1)), data=None)
def test_any_values_and_groups(kind, x, data) -> None:
    codes = np.zeros(len(x), int)
    if data is not None:
        codes = data.draw(hnp.arrays(np.int64, len(x), elements=st.integers(-(10**6), 3)))
    got, want = moments(KINDS[kind](x), codes, N_GROUPS), by_loop(x, codes)
    assert_close(got, want, rtol=1e-9)
    assert (got.m2 >= 0).all()
    for g in np.flatnonzero(want.n):
        constant = np.ptp(x[codes == g], axis=0) == 0
        assert (got.m2[g, constant] == 0).all()


@settings(max_examples=60)
@given(x=values, data=st.data())
def test_pooling_is_reading_again(x, data) -> None:
    fine = data.draw(hnp.arrays(np.int64, len(x), elements=st.integers(-1, 5)))
    coarse = data.draw(hnp.arrays(np.int64, 6, elements=st.integers(-1, 2)))
    direct = np.where(fine < 0, -1, coarse[fine])
    assert_close(moments(x, fine, 6).pool(coarse, 3), by_loop(x, direct, 3), rtol=1e-9)


def test_more_groups_than_small_integers_count(rng) -> None:
    codes = rng.permutation(40_000)
    x = rng.random((40_000, 1))
    got = moments(sp.csr_matrix(x), codes, 40_000)
    assert np.array_equal(got.mean[codes], x)
    assert (got.m2 == 0).all()


def test_a_part_with_too_many_rows_of_one_group(rng, monkeypatch) -> None:
    """Sums of so many rows would not keep their digits: they are cut into tasks."""
    monkeypatch.setattr(moments_file, "ROWS_PER_TASK", 20)
    monkeypatch.setattr(moments_file, "CACHED_BYTES", 2**20)
    x = sp.random(400, 5, 0.4, "csr", random_state=0)
    crowded = np.repeat(np.arange(4), 100)
    spread = rng.permutation(crowded)
    n_block = np.full(4, 100)
    assert moments_file._parts(x, crowded, n_block) is None
    assert moments_file._parts(x, spread, n_block) is not None
    for codes in (crowded, spread):
        assert_close(moments(x, codes, 4), by_loop(x.toarray(), codes, 4))
