"""Rank sums against SciPy and scanpy: one truth for every kind of matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from tests._core.matrices import KINDS, lazy

import pertscope as ps
from pertscope._core import gene_tiles, matrix
from pertscope._core.conditions import screen_conditions
from pertscope._core.rank_sum import rank_sum_test
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from pertscope._core.gene_test import GeneTest

REFERENCE = np.array([0, 0, 0, 3, 3, 0])
"""Two references, each its own; group 5 has no cells."""


def by_scipy(x, codes, reference=REFERENCE, *, tie_correct=True, continuity=False):
    """z and p, group by group: ranks and tie factors by SciPy."""
    x = np.asarray(x, dtype=np.float64)
    z = np.zeros((len(reference), x.shape[1]))
    p = np.ones_like(z)
    for g, r in enumerate(reference):
        n, m = (codes == g).sum(), (codes == r).sum()
        if g == r or n * m == 0:
            continue
        ranks = stats.rankdata(np.vstack([x[codes == g], x[codes == r]]), axis=0)
        factor = np.apply_along_axis(stats.tiecorrect, 0, ranks) if tie_correct else 1
        sd = np.sqrt(n * m * (n + m + 1) / 12 * factor) * np.ones(x.shape[1])
        distance = ranks[:n].sum(axis=0) - n * (n + m + 1) / 2
        if continuity:
            distance -= np.sign(distance) * np.minimum(np.abs(distance), 0.5)
        z[g, sd > 0] = distance[sd > 0] / sd[sd > 0]
        p[g] = 2 * stats.norm.sf(np.abs(z[g]))
    return z, p


def assert_right(got: GeneTest, z: np.ndarray, p: np.ndarray) -> None:
    np.testing.assert_allclose(got.score, z, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(got.p_value, p, rtol=1e-10)
    adjusted = stats.false_discovery_control(p, axis=1)
    np.testing.assert_allclose(got.p_adjusted, adjusted, rtol=1e-10)


def assert_same_bytes(a: GeneTest, b: GeneTest) -> None:
    for name in ("score", "p_value", "p_adjusted"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    """Ties, negative values, empty rows; genes all zero, constant and without zeros."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 9)).round(1) * (rng.random((300, 9)) < 0.6)
    x[:, :3] = np.abs(x[:, :3])
    x[rng.random(300) < 0.1] = 0
    x[:, 3], x[:, 4], x[:, 5] = 0, 1.5, rng.lognormal(size=300)
    return x


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    """Groups 0 to 4 and none."""
    return np.random.default_rng(1).integers(-1, 5, 300)


@pytest.mark.parametrize("continuity", [False, True])
@pytest.mark.parametrize("tie_correct", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_the_definition(cells, codes, kind, tie_correct, continuity) -> None:
    options = {"tie_correct": tie_correct, "continuity": continuity}
    got = rank_sum_test(KINDS[kind](cells), codes, 6, REFERENCE, **options)
    assert_right(got, *by_scipy(cells, codes, **options))
    same = [0, 3, 5]
    assert (got.score[same] == 0).all()
    assert (got.p_value[same] == 1).all()
    assert {a.dtype for a in (got.score, got.p_value, got.p_adjusted)} == {np.dtype(np.float64)}


@pytest.mark.parametrize("continuity", [False, True])
def test_p_values_of_mannwhitneyu(cells, codes, continuity) -> None:
    got = rank_sum_test(cells, codes, 6, REFERENCE, tie_correct=True, continuity=continuity)
    varies = np.setdiff1d(range(9), [3, 4])  # SciPy has no p-value where all cells are tied
    for g in (1, 2, 4):
        want = stats.mannwhitneyu(
            cells[codes == g][:, varies],
            cells[codes == REFERENCE[g]][:, varies],
            method="asymptotic",
            use_continuity=continuity,
        )
        np.testing.assert_allclose(got.p_value[g, varies], want.pvalue, rtol=1e-10)


few = st.sampled_from([0.0, 0.0, 0.0, -0.0, 1.0, 2.0, -1.0, 0.5])
values = few | st.floats(width=32, allow_nan=False)
tables = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 14), st.integers(1, 3)), elements=few
) | hnp.arrays(np.float32, st.tuples(st.integers(1, 14), st.integers(1, 3)), elements=values)


@settings(max_examples=150)
@given(x=tables, data=st.data(), continuity=st.booleans())
@example(x=np.array([[2.0]], np.float32), data=None, continuity=False)
@example(x=np.array([[2.0], [2.0]], np.float32), data=None, continuity=True)
def test_any_values(x, data, continuity) -> None:
    if data is None:
        codes = np.arange(len(x))
    else:
        codes = data.draw(hnp.arrays(np.int64, len(x), elements=st.integers(-1, 4)))
    z, p = by_scipy(x, codes, continuity=continuity)
    for kind in KINDS.values():
        for dtype in (np.float32, np.float64):
            stored = kind(x.astype(dtype))
            options = {"tie_correct": True, "continuity": continuity}
            assert_right(rank_sum_test(stored, codes, 6, REFERENCE, **options), z, p)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", ">f4"])
def test_every_type_of_value(codes, dtype, rng) -> None:
    x = rng.poisson(0.7, (300, 5)).astype(dtype)
    want = by_scipy(x, codes)
    kinds = ["dense"] if dtype in ("float16", ">f4") else KINDS
    for kind in kinds:
        assert_right(rank_sum_test(KINDS[kind](x), codes, 6, REFERENCE, tie_correct=True), *want)


def test_float64_is_not_rounded() -> None:
    x = 1 + np.arange(8)[:, None] * 1e-15
    got = rank_sum_test(x, np.repeat([1, 0], 4), 2, np.zeros(2, int), tie_correct=True)
    want = stats.mannwhitneyu(x[:4], x[4:], method="asymptotic", use_continuity=False)
    np.testing.assert_allclose(got.p_value[1], want.pvalue, rtol=1e-10)
    assert got.score[1] < -2


def test_explicit_zeros_unsorted_and_repeated_places_change_nothing(cells, codes) -> None:
    want = rank_sum_test(cells, codes, 6, REFERENCE, tie_correct=True)
    rows, columns = np.indices(cells.shape).reshape(2, -1)
    order = np.random.default_rng(0).permutation(cells.size)
    half = (cells / 2).ravel()[order]
    place = np.tile(rows[order], 2), np.tile(columns[order], 2)
    twice = sp.coo_matrix((np.tile(half, 2), place), cells.shape)
    by_row = sp.csr_matrix(cells.shape)
    by_row.indptr = np.arange(0, cells.size + 1, cells.shape[1])
    by_row.indices = np.tile(np.arange(cells.shape[1])[::-1], len(cells))
    by_row.data = cells[:, ::-1].ravel()
    for x in (twice, by_row):
        assert_same_bytes(rank_sum_test(x, codes, 6, REFERENCE, tie_correct=True), want)
    for kind in ("csr", "csc"):
        x = KINDS[kind](np.where(cells == 0, 7, cells))
        x.data[x.data == 7] = 0
        assert_same_bytes(rank_sum_test(x, codes, 6, REFERENCE, tie_correct=True), want)


LAZY = [f"{s} {f}" for s in ("h5ad", "zarr") for f in KINDS] + ["dask dense", "dask csr"]


@pytest.mark.parametrize("kind", [*KINDS, *LAZY])
def test_same_bytes_however_stored_and_cut(cells, codes, kind, tmp_path, monkeypatch) -> None:
    x = cells.astype(np.float32)
    want = rank_sum_test(x, codes, 6, REFERENCE, tie_correct=True)
    stored = KINDS[kind](x) if kind in KINDS else lazy(kind, x, tmp_path)
    for tile_bytes, rows_per_task, block_bytes in ((2**20, 7, 10**9), (1600, 7, 900), (1, 99, 400)):
        monkeypatch.setattr(gene_tiles, "TILE_BYTES", tile_bytes)
        monkeypatch.setattr(gene_tiles, "ROWS_PER_TASK", rows_per_task)
        monkeypatch.setattr(matrix.blocks, "__defaults__", (block_bytes,))
        assert_same_bytes(rank_sum_test(stored, codes, 6, REFERENCE, tie_correct=True), want)


def test_tiles_hold_all_genes_and_no_more_than_they_may(cells, codes, monkeypatch) -> None:
    monkeypatch.setattr(gene_tiles, "TILE_BYTES", 6 * gene_tiles.PLACE_BYTES + 3000)
    tiles = list(gene_tiles.gene_tiles(cells, codes, 6))
    assert len(tiles) > 2
    np.testing.assert_array_equal(np.concatenate([np.arange(9)[t] for t, *_ in tiles]), range(9))
    for genes, found, stored in tiles:
        x = cells[:, genes]
        assert found.nbytes <= 3000
        want = [x[codes == g, j] for j in range(x.shape[1]) for g in range(6)]
        np.testing.assert_array_equal(found, np.concatenate([w[w != 0] for w in want]))
        assert stored.T.ravel().tolist() == [np.count_nonzero(w) for w in want]


@pytest.mark.parametrize("kind", KINDS)
def test_same_bytes_for_any_number_of_threads(cells, codes, kind, monkeypatch) -> None:
    monkeypatch.setattr(gene_tiles, "ROWS_PER_TASK", 10)
    threads = numba.get_num_threads()
    results = []
    try:
        for n in (1, threads):
            numba.set_num_threads(n)
            results.append(rank_sum_test(KINDS[kind](cells), codes, 6, REFERENCE))
    finally:
        numba.set_num_threads(threads)
    assert_same_bytes(*results)


# -- real data -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:DataFrame is highly fragmented")
@pytest.mark.parametrize("tie_correct", [False, True])
def test_against_scanpy(papalexi, tie_correct) -> None:
    import scanpy as sc

    ps.pp.register(papalexi, perturbation_key="perturbation", control="non-targeting")
    ps.pp.normalize(papalexi)
    papalexi = papalexi[:, ::3].copy()
    conditions = screen_conditions(papalexi, Screen.of(papalexi))
    shape = conditions.codes, len(conditions), conditions.control_of
    got = rank_sum_test(papalexi.X, *shape, tie_correct=tie_correct)

    papalexi.obs["perturbation"] = papalexi.obs["perturbation"].cat.remove_unused_categories()
    options = {"reference": "non-targeting", "method": "wilcoxon", "tie_correct": tie_correct}
    sc.tl.rank_genes_groups(papalexi, "perturbation", **options)
    for i in np.flatnonzero(~conditions.is_control):
        want = sc.get.rank_genes_groups_df(papalexi, conditions.labels[i])
        want = want.set_index("names").loc[papalexi.var_names]
        np.testing.assert_allclose(got.score[i], want["scores"], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(got.p_value[i], want["pvals"], rtol=1e-9, atol=1e-300)
        np.testing.assert_allclose(got.p_adjusted[i], want["pvals_adj"], rtol=1e-9, atol=1e-300)


def test_contexts_have_their_own_controls(devel) -> None:
    ps.pp.register(devel, perturbation_key="condition", covariate_keys=["cell_type"])
    conditions = screen_conditions(devel, Screen.of(devel))
    reference = conditions.control_of
    assert len(set(reference)) > 1
    got = rank_sum_test(devel.X, conditions.codes, len(conditions), reference, tie_correct=True)
    for g in np.flatnonzero(~conditions.is_control)[::5]:
        cells = devel.X[conditions.codes == g].toarray()
        controls = devel.X[conditions.codes == reference[g]].toarray()
        varies = np.ptp(np.vstack([cells, controls]), axis=0) > 0
        options = {"method": "asymptotic", "use_continuity": False}
        want = stats.mannwhitneyu(cells[:, varies], controls[:, varies], **options)
        np.testing.assert_allclose(got.p_value[g, varies], want.pvalue, rtol=1e-10)
        assert (got.p_value[g, ~varies] == 1).all()


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("nan", [np.nan, -np.nan])
@pytest.mark.parametrize("kind", KINDS)
def test_nan_is_named(kind, nan, monkeypatch) -> None:
    monkeypatch.setattr(gene_tiles, "TILE_BYTES", 1)
    for dtype in (np.float32, np.float64):
        x = np.tile(np.array([1, -np.inf, np.inf], dtype), (6, 1))
        x[4, 1] = nan
        codes = np.array([0, 0, 1, 1, 1, 0])
        with pytest.raises(ValueError, match=r"NaN in 1 gene.s.: 'g1'"):
            rank_sum_test(KINDS[kind](x), codes, 2, np.zeros(2, int), names=["g0", "g1", "g2"])
        with pytest.raises(ValueError, match=r"NaN in 1 gene.s.: '1'"):
            rank_sum_test(KINDS[kind](x), codes, 2, np.zeros(2, int))
        codes[4] = -1  # rows of no group are not judged
        assert (rank_sum_test(KINDS[kind](x), codes, 2, np.zeros(2, int)).p_value == 1).all()


@pytest.mark.parametrize(
    ("codes", "reference", "match"),
    [
        (np.zeros(5, int), [0, 0], "shape .5,., the matrix 6 rows"),
        (np.full(6, 2), [0, 0], "reach 2, there are 2"),
        (np.zeros(6, int), [0], "`reference` has shape .1,., there are 2"),
        (np.zeros(6, int), [0, 2], "`reference` names group 2, there are 2"),
        (np.zeros(6, int), [-1, 0], "`reference` names group -1, there are 2"),
    ],
)
def test_groups_that_do_not_fit_are_refused(codes, reference, match) -> None:
    with pytest.raises(ValueError, match=match):
        rank_sum_test(np.ones((6, 3)), codes, 2, np.array(reference))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_empty_matrices(kind, shape) -> None:
    got = rank_sum_test(KINDS[kind](np.ones(shape)), np.zeros(shape[0], int), 2, np.zeros(2, int))
    assert got.score.shape == got.p_adjusted.shape == (2, shape[1])
    assert (got.p_value == 1).all()
