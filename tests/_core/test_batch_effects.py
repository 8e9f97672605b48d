"""Batch-adjusted effects against the paper's sums, written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from tests.helpers import dense, make_screen, refused

import pertscope as ps
from pertscope._core.batch_effects import (
    BatchedCells,
    batch_adjusted_effects,
    size_of_batches,
)


def by_loop(x, codes, batch, group, control, *, large) -> np.ndarray:
    def mean(g, b):
        return x[(codes == g) & (batch == b)].mean(axis=0)

    holding = [
        {b for b in set(batch) if ((codes == g) & (batch == b)).any()} for g in (group, control)
    ]
    if large:
        both = sorted(holding[0] & holding[1])
        return sum(mean(group, b) - mean(control, b) for b in both) / len(both)
    return np.mean([mean(group, b) for b in holding[0]], axis=0) - np.mean(
        [mean(control, b) for b in holding[1]], axis=0
    )


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_against_a_loop(size, kind) -> None:
    rng = np.random.default_rng(0)
    x = rng.poisson(1.0, (200, 6)).astype(float)
    codes, batch = rng.integers(-1, 4, 200), rng.integers(0, 5, 200)
    codes[(codes == 1) & (batch == 2)] = -1  # a batch without this group
    codes[(codes == 0) & (batch == 4)] = -1  # and one without controls
    cells = BatchedCells(kind(x), codes, batch)
    found = batch_adjusted_effects(
        cells, np.array([1, 2, 3]), cells, np.zeros(3, int), batch_size=size
    )
    for i, group in enumerate((1, 2, 3)):
        expected = by_loop(x, codes, batch, group, 0, large=size == "large")
        np.testing.assert_allclose(found[i], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", ["large", "small"])
def test_repeated_cells(size) -> None:
    """A bootstrap sample is its cells, each as often as it was drawn; some pairs are lost."""
    rng = np.random.default_rng(3)
    x = rng.poisson(1.0, (120, 6)).astype(float)
    codes, batch, repeats = (rng.integers(low, high, 120) for low, high in ((0, 4), (0, 9), (0, 3)))
    cells = BatchedCells(sp.csr_matrix(x), codes, batch, repeats)
    rows = np.repeat(np.arange(120), repeats)
    drawn = BatchedCells(x[rows], codes[rows], batch[rows])
    groups, control = np.array([3, 1]), np.zeros(2, int)
    got, want = (
        batch_adjusted_effects(c, groups, c, control, batch_size=size) for c in (cells, drawn)
    )
    np.testing.assert_allclose(got, want, atol=1e-12)
    fewer = batch_adjusted_effects(cells, groups[1:], cells, control[1:], batch_size=size)
    np.testing.assert_array_equal(fewer, got[1:])


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_a_batch_drawn_twice_is_two_batches(size, kind) -> None:
    rng = np.random.default_rng(4)
    x = rng.poisson(1.0, (200, 6)).astype(float)
    codes, batch = rng.integers(-1, 4, 200), rng.integers(0, 5, 200)
    codes[(codes == 1) & (batch == 2)] = -1
    codes[(codes == 0) & (batch == 4)] = -1
    drawn = np.array([3, 0, 2, 1, 2])
    cells = BatchedCells(kind(x), codes, batch, drawn[batch], drawn=drawn)
    got = batch_adjusted_effects(
        cells, np.array([1, 2, 3]), cells, np.zeros(3, int), batch_size=size
    )
    rows, times = np.repeat(np.arange(200), drawn[batch]), []
    for b in batch:
        times += range(drawn[b])
    apart = 10 * batch[rows] + np.array(times)  # each draw a batch of its own
    for i, group in enumerate((1, 2, 3)):
        want = by_loop(x[rows], codes[rows], apart, group, 0, large=size == "large")
        np.testing.assert_allclose(got[i], want, rtol=1e-12, atol=1e-12)


def test_size_of_batches() -> None:
    """The median condition and batch; controls and repeats do not count."""
    batch, codes = np.repeat([0, 1, 1], 300), np.tile([-1, 1, 2], 300)
    assert size_of_batches(codes, batch) == "large"  # 100 and 200 cells
    fewer = codes.copy()
    fewer[:6] = -1
    assert size_of_batches(fewer, batch) == "large"  # 98, 98, 200, 200
    assert size_of_batches(codes, np.arange(900) % 7) == "small"
    assert size_of_batches(np.full(900, -1), batch) == "small"


def test_no_common_batch() -> None:
    x = np.ones((4, 1))
    cells = BatchedCells(x, np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))
    assert np.isnan(batch_adjusted_effects(cells, [1], cells, [0], batch_size="large")).all()
    assert (batch_adjusted_effects(cells, [1], cells, [0], batch_size="small") == 0).all()


def test_effects_of_a_screen() -> None:
    adata = make_screen(n_cells=6, register=False)
    ps.pp.register(adata, covariate_keys=["cell_type"])
    with refused(adata, ValueError, "register the screen's `batch_key`"):
        ps.get.effects(adata, statistic="ba_ate")
    with refused(adata, ValueError, "must be one of"):
        ps.get.effects(adata, statistic="ate")
    with refused(adata, ValueError, "`batch_size`='huge' must be one of"):
        ps.get.effects(adata, batch_size="huge")
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    found = ps.get.effects(adata, statistic="ba_ate", batch_size="large")
    obs, x = adata.obs, dense(adata.X)
    names = obs["cell_type"].astype(str) + obs["perturbation"].astype(str)
    codes, labels = names.factorize()
    group, control = labels.get_loc("xA"), labels.get_loc("xcontrol")
    expected = by_loop(x, codes, obs["batch"].to_numpy(str), group, control, large=True)
    np.testing.assert_allclose(found.loc[("x", "A")], expected, atol=1e-12)
    mean, control = (x[names == n].mean(axis=0) for n in ("xA", "xcontrol"))
    logfc = np.log2(mean + 0.1) - np.log2(control + 0.1)
    np.testing.assert_allclose(
        ps.get.effects(adata, statistic="logfc").loc[("x", "A")], logfc, rtol=1e-6
    )
