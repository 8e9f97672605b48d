from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist
from tests.helpers import make_screen

from pertscope._core import neighbors
from pertscope._core.neighbors import nearest, neighbors_in

GRID = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0])
POINTS = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=GRID
)


@pytest.fixture(autouse=True)
def _search_anew() -> None:
    neighbors._found.clear()


def oracle(queries, x, metric, own) -> np.ndarray:
    """All distances; a row of zeros is at cosine distance 1 from all."""
    if metric == "euclidean":
        d = cdist(queries, x)
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            d = np.nan_to_num(1 - (queries @ x.T) / np.outer(*map(norms, (queries, x))), nan=1.0)
    if own:
        np.fill_diagonal(d, np.inf)
    return d


def norms(x) -> np.ndarray:
    return np.linalg.norm(x, axis=1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(("shift", "size"), [(0, 1), (1e4, 1), (0, 1e-200), (0, 1e150)])
def test_exact_is_exact(rng, metric, shift, size) -> None:
    x = (rng.normal(size=(1000, 12)) + shift) * size
    want = oracle(x / size, x / size, metric, own=True)
    order = np.argsort(want, axis=1, kind="stable")[:, :20]
    got = nearest(x, 20, metric=metric)
    want = np.take_along_axis(want, order, axis=1)
    np.testing.assert_allclose(
        got.distances / (size if metric == "euclidean" else 1), want, 1e-6, 1e-9
    )
    if shift == 0:
        np.testing.assert_array_equal(got.indices, order)


@given(x=POINTS, metric=st.sampled_from(["euclidean", "cosine"]), data=st.data())
def test_duplicates_zeros_and_constant_dimensions(x, metric, data) -> None:
    x = np.vstack([x, x[:1]])
    k = data.draw(st.integers(1, len(x) - 1))
    got = nearest(x, k, metric=metric)
    want = np.sort(oracle(x, x, metric, own=True), axis=1)[:, :k]
    np.testing.assert_allclose(got.distances, want, atol=1e-7)
    assert (got.indices != np.arange(len(x))[:, None]).all()
    for row, distances in zip(got.indices, got.distances, strict=True):
        assert len(set(row)) == k
        assert list(zip(distances, row, strict=True)) == sorted(zip(distances, row, strict=True))


def test_a_duplicate_is_a_neighbour_and_ties_go_by_index(rng) -> None:
    x = np.repeat(rng.normal(size=(3, 4)), [5, 400, 5], axis=0)
    got = nearest(x, 3)
    np.testing.assert_array_equal(
        got.indices[[0, 4, 5, 9, 409]],
        [[1, 2, 3], [0, 1, 2], [6, 7, 8], [5, 6, 7], [405, 406, 407]],
    )
    assert (got.distances == 0).all()


def test_rows_that_float32_cannot_tell_apart(rng) -> None:
    x = rng.normal(size=(3000, 8)) * 1e-6
    x[0] = 1e3  # the rest is one place to float32
    x[1:, 0] += 500
    order = np.argsort(oracle(x, x, "euclidean", own=True), axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(nearest(x, 5).indices, order)


@pytest.mark.parametrize("far", [1e-3, 1, 1e3])
def test_a_sample_that_misleads(rng, far) -> None:
    """Every 32nd point lies in another place than the rest, or all on one spot."""
    x = rng.normal(size=(3000, 3))
    x[::32] *= far
    got = nearest(x, 40)
    want = np.argsort(oracle(x, x, "euclidean", own=True), axis=1)[:, :40]
    np.testing.assert_array_equal(got.indices, want)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_other_queries(rng, metric) -> None:
    x, queries = rng.normal(size=(300, 5)), rng.normal(size=(40, 5))
    queries[3] = x[7]
    got = nearest(x, 6, metric=metric, queries=queries)
    want = oracle(queries, x, metric, own=False)
    np.testing.assert_array_equal(got.indices, np.argsort(want, axis=1)[:, :6])
    assert got.indices[3, 0] == 7


def test_same_bytes_for_any_number_of_threads(rng) -> None:
    x = rng.normal(size=(1500, 6))
    many = nearest(x, 10)
    n = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        neighbors._found.clear()
        one = nearest(x, 10)
    finally:
        numba.set_num_threads(n)
    assert many.indices.tobytes() == one.indices.tobytes()
    assert many.distances.tobytes() == one.distances.tobytes()


def test_approximate_finds_nearly_all(rng) -> None:
    metric = "cosine"
    x = rng.normal(size=(1500, 6))
    x[10] = x[20]
    exact = nearest(x, 15, metric=metric)
    got = nearest(x, 15, metric=metric, method="approximate", seed=1)
    recall = np.mean(
        [np.isin(a, b).mean() for a, b in zip(got.indices, exact.indices, strict=True)]
    )
    assert recall > 0.95
    assert (got.indices != np.arange(1500)[:, None]).all()
    same = got.indices == exact.indices
    np.testing.assert_array_equal(got.distances[same], exact.distances[same])
    neighbors._found.clear()
    again = nearest(x, 15, metric=metric, method="approximate", seed=1)
    np.testing.assert_array_equal(again.indices, got.indices)


def test_content_is_searched_once(rng, monkeypatch) -> None:
    searched = []
    search = neighbors._search
    monkeypatch.setattr(neighbors, "_search", lambda *a: searched.append(a[2]) or search(*a))
    x = rng.normal(size=(50, 3))
    ten = nearest(x, 10)
    np.testing.assert_array_equal(nearest(x.copy(), 4).indices, ten.indices[:, :4])
    assert searched == [10]
    nearest(x, 12)
    nearest(x, 12, metric="cosine")
    nearest(x.reshape(75, 2), 3)  # the same bytes in another shape
    assert searched == [10, 12, 12, 3]
    with pytest.raises(ValueError, match="read-only"):
        ten.indices[0, 0] = 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 5}, "5 neighbours were asked for; each point has 4 others"),
        ({"k": 0}, "0 neighbours"),
        ({"metric": "manhattan"}, "`metric`='manhattan' must be one of"),
        ({"method": "fast"}, "`method`='fast' must be one of"),
        ({"queries": np.ones((2, 3))}, "`queries` have 3 columns, `x` 2"),
        ({"x": np.full((5, 2), np.nan)}, "NaN or infinite values in 5 row"),
        ({"x": np.ones(5)}, r"shape \(5,\)"),
    ],
)
def test_refusals(change, message) -> None:
    options = {"x": np.ones((5, 2)), "k": 2, **change}
    with pytest.raises(ValueError, match=message):
        nearest(options.pop("x"), options.pop("k"), **options)


def test_graph_of_the_user(rng) -> None:
    adata = make_screen()
    x = rng.normal(size=(adata.n_obs, 3))
    found = nearest(x, 6)
    rows = np.repeat(np.arange(adata.n_obs), 7)
    columns = np.column_stack([np.arange(adata.n_obs), found.indices]).ravel()
    values = np.column_stack([np.zeros(adata.n_obs), found.distances]).ravel()
    adata.obsp["mine"] = sp.csr_matrix((values, (rows, columns)), shape=(adata.n_obs,) * 2)
    adata.uns["neighbors"] = {"distances_key": "mine"}
    for key in ("mine", "neighbors"):
        got = neighbors_in(adata, key, 4)
        np.testing.assert_array_equal(got.indices, found.indices[:, :4])
        np.testing.assert_array_equal(got.distances, found.distances[:, :4])
    with pytest.raises(ValueError, match=r"fewer than 7 neighbours in .* which has 6"):
        neighbors_in(adata, "mine", 7)
    with pytest.raises(KeyError, match="no graph 'other'"):
        neighbors_in(adata, "other", 2)
    with pytest.raises(ValueError, match="9 neighbours were asked for, 6 are known"):
        found.first(9)
