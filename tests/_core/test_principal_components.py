"""Principal components, against scikit-learn's full decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from pertscope._core import principal_components as module
from pertscope._core.centred_matrix import CentredMatrix
from pertscope._core.principal_components import principal_components


def centred(x: np.ndarray, *, sparse: bool = True) -> CentredMatrix:
    """`x` minus the mean of all cells."""
    mean = x.mean(axis=0, dtype=np.float64)[None]
    stored = sp.csr_matrix(x) if sparse else x
    return CentredMatrix(stored, np.ones(x.shape[1], bool), mean, np.zeros(len(x), np.int64))


def cells(n_cells: int, n_genes: int, n_programmes: int = 30, seed: int = 0) -> np.ndarray:
    """Counts moved by programmes of decreasing strength, float64."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((n_cells, n_programmes)) * np.geomspace(1, 0.2, n_programmes)
    loadings = rng.standard_normal((n_programmes, n_genes)) * 0.3
    return np.log1p(rng.poisson(np.exp(scores @ loadings - 1)))


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    return cells(1500, 700)


@pytest.mark.parametrize("method", ["exact", "randomized"])
@pytest.mark.parametrize("sparse", [True, False])
def test_equal_to_sklearn(many, method, sparse) -> None:
    peer = PCA(30, svd_solver="full").fit(many)
    found = principal_components(centred(many, sparse=sparse), 30, method=method)
    np.testing.assert_allclose(found.variance, peer.explained_variance_, rtol=1e-6)
    assert found.method == method
    np.testing.assert_allclose(found.loadings.T @ found.loadings, np.eye(30), atol=1e-10)
    # a share of 1e-4 of the variance that lacks turns an axis by 1e-4 / relative gap at most
    gap = -np.diff(PCA(31, svd_solver="full").fit(many).explained_variance_)
    angle = 1e-4 * peer.explained_variance_[0] / np.minimum(gap, np.append(np.inf, gap[:-1]))
    np.testing.assert_array_less(
        np.linalg.norm(found.loadings.T - peer.components_, axis=1), 1e-7 + angle
    )


def test_randomized_is_exact_to_rounding_when_asked(many, monkeypatch) -> None:
    monkeypatch.setattr(module, "SETTLED", 1e-11)
    exact = principal_components(centred(many), 20, method="exact")
    found = principal_components(centred(many), 20, method="randomized", seed=5)
    np.testing.assert_allclose(found.loadings, exact.loadings, atol=1e-8)


def test_a_space_that_is_cut_back_still_settles() -> None:
    """One component of a flat spectrum needs more directions than are held at once."""
    flat = np.random.default_rng(0).standard_normal((2000, 800)).astype(np.float32)
    found = principal_components(centred(flat, sparse=False), 1, method="randomized")
    exact = principal_components(centred(flat, sparse=False), 1, method="exact")
    assert found.n_passes * module.WIDTH > 3 * (2 + module.WIDTH)
    np.testing.assert_allclose(found.variance, exact.variance, rtol=1e-6)


def test_auto_counts_genes(monkeypatch) -> None:
    x = centred(cells(50, 20))
    assert principal_components(x, 2).method == "exact"
    monkeypatch.setattr(module, "EXACT_GENES", 19)
    assert principal_components(x, 2).method == "randomized"


def test_seed_decides(many) -> None:
    runs = [principal_components(centred(many), 5, method="randomized", seed=s) for s in (0, 0, 1)]
    assert runs[0].loadings.tobytes() == runs[1].loadings.tobytes()
    assert runs[0].loadings.tobytes() != runs[2].loadings.tobytes()
    np.testing.assert_allclose(runs[0].loadings, runs[2].loadings, atol=1e-2)


def test_says_what_has_not_settled(many, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_PASSES", 2)
    with pytest.warns(UserWarning, match=r"\d+ of 30 components have not settled after 2 passes"):
        principal_components(centred(many), 30, method="randomized")


@pytest.mark.parametrize("method", ["exact", "randomized"])
def test_sign_of_loadings_that_are_equally_large(method) -> None:
    """Rounding does not decide: the first of them is positive."""
    line = np.arange(10.0)
    found = principal_components(centred(np.c_[-line, line]), 1, method=method)
    np.testing.assert_allclose(found.loadings[:, 0], [0.5**0.5, -(0.5**0.5)])


@settings(max_examples=60)
@given(
    n_cells=st.integers(2, 40),
    n_genes=st.integers(1, 40),
    rank=st.integers(1, 6),
    method=st.sampled_from(["exact", "randomized"]),
    shift=st.sampled_from([0.0, 3.0, -1000.0]),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 10),
)
def test_any_shape_and_rank(n_cells, n_genes, rank, method, shift, scale, seed) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (n_cells, rank)) @ rng.integers(-2, 3, (rank, n_genes)) + shift
    x = (x * scale).astype(np.float64)
    c = x - x.mean(axis=0)
    true_rank = np.linalg.matrix_rank(np.rint(c * n_cells / scale))
    if true_rank == 0:
        return
    most = min(n_cells - 1, n_genes)
    found = principal_components(centred(x), most, method=method, seed=seed)
    assert len(found.variance) == true_rank
    peer = np.linalg.svd(c, compute_uv=False)[:true_rank] ** 2 / (n_cells - 1)
    np.testing.assert_allclose(found.variance, peer, rtol=1e-3, atol=1e-9 * peer[0])
    back = c @ found.loadings @ found.loadings.T
    np.testing.assert_allclose(back, c, atol=1e-5 * np.abs(c).max())


@pytest.mark.parametrize("n_comps", [39, 60])
def test_more_axes_of_one_variance_than_directions(n_comps, rng) -> None:
    """Powers of the covariance lead nowhere where all axes vary alike: whitened cells, one-hot."""
    axes = np.linalg.qr(rng.normal(size=(200, 70)) - 0)[0]
    axes = np.linalg.qr(axes - axes.mean(axis=0))[0] * np.sqrt(199)
    x = axes @ np.linalg.qr(rng.normal(size=(90, 90)))[0][:70]
    matrix = CentredMatrix(x, np.ones(90, bool), x.mean(axis=0)[None], np.zeros(200, np.int64))
    found = principal_components(matrix, n_comps, method="randomized")
    np.testing.assert_allclose(found.variance, np.ones(n_comps), rtol=1e-6)
    loadings = found.loadings
    np.testing.assert_allclose(loadings.T @ loadings, np.eye(n_comps), atol=1e-8)
