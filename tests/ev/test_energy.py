"""Energy distances against the formula on SciPy's distances."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial.distance import cdist
from tests.ev.populations import KINDS, two_populations

from pertscope.ev import _pairs
from pertscope.ev._energy import energy_distance, energy_to_reference

METRICS = ("euclidean", "sqeuclidean")


def by_formula(x, y, *, form: str, unbiased: bool, metric: str) -> float:
    def within(a):
        return cdist(a, a, metric).sum() / (len(a) * (len(a) - 1 if unbiased else len(a)))

    full = 2 * cdist(x, y, metric).mean() - within(x) - within(y)
    return full if form == "full" else full / 2


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("form", ["full", "half"])
def test_against_the_formula(form, unbiased, metric, rng) -> None:
    x, y = two_populations(rng)
    options = {"form": form, "unbiased": unbiased, "metric": metric}
    assert energy_distance(x, y, **options) == pytest.approx(by_formula(x, y, **options), rel=1e-10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("of_x", KINDS)
@pytest.mark.parametrize("of_y", KINDS)
def test_every_kind_of_matrix(of_x, of_y, unbiased, metric, rng) -> None:
    x, y = two_populations(rng)
    options = {"unbiased": unbiased, "metric": metric}
    got = energy_distance(KINDS[of_x](x), KINDS[of_y](y), **options)
    assert got == pytest.approx(by_formula(x, y, form="full", **options), rel=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_sparse_cells_of_many_genes(dtype, rng) -> None:
    """Several tiles of cells, blocks of genes in each; cells and genes without values."""
    counts = rng.poisson(0.2, (1100, 230)) * rng.integers(1, 9, (1100, 230))
    counts[::50], counts[:, ::60] = 0, 0
    x, y = counts[:530].astype(dtype), counts[530:].astype(dtype)
    for unbiased in (False, True):
        want = by_formula(x, y, form="full", unbiased=unbiased, metric="euclidean")
        got = energy_distance(sp.csr_matrix(x), sp.csr_matrix(y), unbiased=unbiased)
        assert got == pytest.approx(want, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("spread", [1.0, 0.3, 0.1, 1e-3])
@pytest.mark.parametrize("n_cells", [3, 150])
def test_sparse_cells_in_single_precision(n_cells, spread, rng) -> None:
    """Products in float32 where distances are large beside the cells, in float64 where not."""
    common = np.where(rng.random(400) < 0.6, 0, np.exp(rng.normal(size=400)))
    cells = common * np.exp(spread * rng.normal(size=(2, n_cells, 400)))
    x, y = cells.astype(np.float32)
    want = by_formula(x, y, form="full", unbiased=False, metric="euclidean")
    assert energy_distance(sp.csr_matrix(x), sp.csr_matrix(y)) == pytest.approx(want, rel=1e-6)


def test_a_place_stored_twice_holds_the_sum(rng) -> None:
    x, y = two_populations(rng)
    twice = sp.csr_matrix(x / 2)
    rows = np.repeat(np.arange(len(x)), np.diff(twice.indptr))
    both = (np.tile(twice.data, 2), (np.tile(rows, 2), np.tile(twice.indices, 2)))
    coo = sp.coo_matrix(both, shape=x.shape)
    order = np.lexsort((coo.col, coo.row))
    edges = np.searchsorted(coo.row[order], np.arange(len(x) + 1))
    stored = sp.csr_matrix((coo.data[order], coo.col[order], edges), shape=x.shape)
    assert stored.nnz == 2 * twice.nnz
    want = by_formula(x, y, form="full", unbiased=False, metric="euclidean")
    assert energy_distance(stored, sp.csr_matrix(y)) == pytest.approx(want, rel=1e-8)


def test_in_one_dimension_against_scipy(rng) -> None:
    x, y = rng.normal(size=40), rng.gamma(2, size=33)
    want = stats.energy_distance(x, y) ** 2  # SciPy takes the root
    assert energy_distance(x[:, None], y[:, None]) == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_tiles_and_groups(kind, rng, monkeypatch) -> None:
    monkeypatch.setattr(_pairs, "TILE", 7)
    x, y = two_populations(rng)
    groups = [x[:1], x[1:8], x[8:23], x[23:]]
    for metric in METRICS:
        for unbiased in (False, True):
            got = energy_to_reference(
                [KINDS[kind](g) for g in groups], KINDS[kind](y), metric=metric, unbiased=unbiased
            )
            assert np.isnan(got[0]) == unbiased
            first = int(unbiased)
            options = {"form": "full", "unbiased": unbiased, "metric": metric}
            want = [by_formula(g, y, **options) for g in groups[first:]]
            np.testing.assert_allclose(got[first:], want, rtol=1e-8)


def test_groups_of_dense_and_sparse_cells(rng) -> None:
    x, y = two_populations(rng)
    got = energy_to_reference([x, sp.csr_matrix(x), x], y)
    np.testing.assert_allclose(got, energy_distance(x, y), rtol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_small_differences_far_from_the_origin(metric, rng) -> None:
    """The expansion of the square loses no digits to a common offset."""
    x, y = rng.normal(size=(2, 50, 3))
    y += 0.1
    want = by_formula(x, y, form="full", unbiased=False, metric=metric)
    assert energy_distance(x + 1e6, y + 1e6, metric=metric) == pytest.approx(want, rel=1e-6)


values = st.integers(-3, 3).map(float) | st.floats(-1e3, 1e3, allow_subnormal=False)
cells = hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(3)), elements=values)


@settings(max_examples=60)
@given(x=cells, y=cells, metric=st.sampled_from(METRICS))
def test_properties(x, y, metric) -> None:
    got = energy_distance(x, y, metric=metric)
    both = np.vstack([x, y])
    scale = cdist(both, both, metric).mean()
    assert got >= 0
    assert got == pytest.approx(energy_distance(y, x, metric=metric), abs=1e-6 * scale)
    want = by_formula(x, y, form="full", unbiased=False, metric=metric)
    assert got == pytest.approx(want, rel=1e-7, abs=1e-6 * scale)
    assert energy_distance(x, x, metric=metric) == pytest.approx(0, abs=1e-6 * scale)


def test_same_bytes_for_any_number_of_threads(rng) -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    x, y = rng.normal(size=(700, 50)), rng.normal(size=(1300, 50))
    results = []
    for n in (1, 2):
        with threadpoolctl.threadpool_limits(n, user_api="blas"):
            results.append(energy_to_reference([x, x[:77]], y).tobytes())
    assert results[0] == results[1]


def test_refusals(rng) -> None:
    x, y = two_populations(rng)
    with pytest.raises(ValueError, match="'third' must be one of 'full', 'half'"):
        energy_distance(x, y, form="third")
    with pytest.raises(ValueError, match="'cosine' must be one of 'euclidean', 'sqeuclidean'"):
        energy_distance(x, y, metric="cosine")
    with pytest.raises(ValueError, match=r"`groups\[0\]` holds no cells"):
        energy_distance(x[:0], y)
    with pytest.raises(ValueError, match="`reference` holds NaN"):
        energy_distance(x, sp.csr_matrix(y * np.nan))
    with pytest.raises(ValueError, match="has 6 columns, `reference` has 5"):
        energy_distance(x, y[:, :5])
    with pytest.raises(ValueError, match="must be cells x genes"):
        energy_distance(x[0], y)
