"""Fits on controls, against pycytominer, scikit-learn and their definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests._core import pycytominer_peer

from pertscope._core import affine
from pertscope._core.affine import (
    SPHERING,
    Affine,
    Controls,
    apply_by_batch,
    fit_center_scale,
    fit_mad,
    fit_sphere,
    fit_tvn,
    fit_tvn_zca,
    principal_axes,
)

sizes = st.integers(2, 30)


def mixed(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Rows of correlated dimensions on different scales."""
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 10 * rng.normal(size=d)


def up_to_sign(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """`got` with each column turned to the side of `want`."""
    return got * np.where((got * want).sum(axis=0) < 0, -1.0, 1.0)


@pytest.mark.parametrize("method", SPHERING)
@pytest.mark.parametrize("n", [200, 12, 8, 5])
@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
def test_sphere_is_that_of_pycytominer(method, n, epsilon, rng) -> None:
    d = 8
    controls, x = mixed(rng, n, d), mixed(rng, 40, d)
    want = pycytominer_peer.sphere(controls, x, method, epsilon)
    got = fit_sphere(controls, method, epsilon, "singular_values").apply(x)
    if method.startswith("PCA"):
        rank = min(n - 1, d)
        assert got.shape == (40, rank)
        want = want[:, :rank]  # its further axes are arbitrary
        got = up_to_sign(got, want)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("method", SPHERING)
@pytest.mark.parametrize("epsilon_on", affine.EPSILON_ON)
def test_sphered_controls_have_covariance_one(method, epsilon_on, rng) -> None:
    controls = mixed(rng, 300, 6)
    got = np.cov(fit_sphere(controls, method, 1e-12, epsilon_on).apply(controls), rowvar=False)
    np.testing.assert_allclose(got, np.eye(6), atol=5e-3 if method.endswith("-cor") else 1e-6)


def test_epsilon_on_eigenvalues_is_its_definition(rng) -> None:
    controls, x = mixed(rng, 5, 7), mixed(rng, 10, 7)
    covariance = np.cov(controls, rowvar=False)
    values, vectors = np.linalg.eigh(covariance + 0.3 * np.eye(7))
    want = (x - controls.mean(axis=0)) @ (vectors / np.sqrt(values)) @ vectors.T
    got = fit_sphere(controls, "ZCA", 0.3, "eigenvalues").apply(x)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", SPHERING)
def test_sphere_of_a_constant_dimension(method, rng) -> None:
    controls = mixed(rng, 50, 4)
    controls[:, 2] = 7.1
    got = fit_sphere(controls, method, 1e-6, "singular_values").apply(controls)
    assert np.isfinite(got).all()
    rest = fit_sphere(np.delete(controls, 2, axis=1), method, 1e-6, "singular_values")
    want = rest.apply(np.delete(controls, 2, axis=1))
    if method.startswith("ZCA"):
        np.testing.assert_allclose(got[:, 2], 0, atol=1e-9)
        got = np.delete(got, 2, axis=1)
    np.testing.assert_allclose(got, want, atol=1e-6)


@given(n=sizes, d=st.integers(1, 20), seed=st.integers(0, 99))
def test_principal_axes(n, d, seed) -> None:
    x = mixed(np.random.default_rng(seed), n, d)
    x -= x.mean(axis=0)
    size, axes = principal_axes(x)
    rank = len(size)
    assert rank == min(n - 1, d)
    np.testing.assert_allclose(axes @ axes.T, np.eye(rank), atol=1e-9)
    np.testing.assert_allclose((axes.T * size**2) @ axes, x.T @ x, atol=1e-9 * size[0] ** 2)
    assert (axes[np.arange(rank), np.abs(axes).argmax(axis=1)] > 0).all()


def test_rows_without_variation_have_no_axes() -> None:
    with pytest.raises(ValueError, match=r"the 3 control\(s\) are all the same"):
        principal_axes(np.zeros((3, 2)))


@given(n=sizes, d=st.integers(1, 6), seed=st.integers(0, 99))
def test_center_scale_is_scikit_learns(n, d, seed) -> None:
    from sklearn.preprocessing import StandardScaler

    x = mixed(np.random.default_rng(seed), n, d)
    x[:, 0] = 0.1  # constant
    got = fit_center_scale(x).apply(x + 1)
    np.testing.assert_allclose(got, StandardScaler().fit(x).transform(x + 1), atol=1e-9)


@pytest.mark.parametrize("epsilon", [1e-18, 0.5])
def test_mad_is_pycytominers(epsilon, rng) -> None:
    controls, x = mixed(rng, 31, 4), mixed(rng, 10, 4)
    want = (
        pycytominer_peer.RobustMAD(epsilon).fit(pd.DataFrame(controls)).transform(pd.DataFrame(x))
    )
    np.testing.assert_allclose(fit_mad(controls, epsilon).apply(x), want, rtol=1e-9)


def efaar_tvn(x: np.ndarray, is_control: np.ndarray, batch: np.ndarray | None) -> np.ndarray:
    """TVN of efaar_benchmarking 1.0, by scikit-learn and SciPy."""
    from scipy.linalg import fractional_matrix_power
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    x = StandardScaler().fit(x[is_control]).transform(x)
    x = PCA().fit(x[is_control]).transform(x)
    x = StandardScaler().fit(x[is_control]).transform(x)
    for b in [] if batch is None else np.unique(batch):
        covariance = np.cov(x[is_control & (batch == b)], rowvar=False) + 0.5 * np.eye(x.shape[1])
        x[batch == b] = x[batch == b] @ np.real(fractional_matrix_power(covariance, -0.5))
    return x


def three_batches(rng: np.random.Generator, n: int = 300, d: int = 5):
    batch = rng.integers(0, 3, n)
    x = mixed(rng, n, d) * (1 + batch[:, None]) + 5 * batch[:, None]
    return x, rng.random(n) < 0.5, batch


@pytest.mark.parametrize("align", [True, False])
def test_tvn_is_efaars(align, rng) -> None:
    x, is_control, batch = three_batches(rng)
    maps = fit_tvn(Controls(x[is_control], batch[is_control], ["0", "1", "2"]), align=align)
    want = efaar_tvn(x, is_control, batch if align else None)
    got = up_to_sign(apply_by_batch(x, batch, maps), want)
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8)


def test_tvn_drops_what_no_control_varies_in(rng) -> None:
    x = mixed(rng, 30, 6)
    x[:, 4] = 3.3
    controls = Controls(x[:20], np.repeat([0, 1], 10), ["0", "1"])
    assert apply_by_batch(x, np.zeros(30, int), fit_tvn(controls, align=True)).shape == (30, 5)
    few = Controls(x[:4], np.repeat([0, 1], 2), ["0", "1"])
    got = apply_by_batch(x, np.zeros(30, int), fit_tvn(few, align=True))
    assert got.shape == (30, 3)
    assert np.isfinite(got).all()


def test_tvn_zca_is_its_definition(rng) -> None:
    x, is_control, batch = three_batches(rng)
    want = np.empty_like(x)
    for b in range(3):
        own = x[is_control & (batch == b)]
        want[batch == b] = (x[batch == b] - own.mean(axis=0)) / own.std(axis=0)
    values, vectors = np.linalg.eigh(np.cov(want[is_control], rowvar=False))
    want = want @ (vectors / np.sqrt(values)) @ vectors.T
    maps = fit_tvn_zca(Controls(x[is_control], batch[is_control], ["0", "1", "2"]))
    np.testing.assert_allclose(apply_by_batch(x, batch, maps), want, rtol=1e-9, atol=1e-9)


def test_a_lacking_batch_is_fitted_on_all(rng) -> None:
    x = mixed(rng, 10, 2)
    controls = Controls(x, np.repeat([0, 1], 5), ["a", "b", "c"], frozenset({2}))
    a, b, c = controls.each(fit_center_scale)
    np.testing.assert_array_equal(a.shift, x[:5].mean(axis=0))
    np.testing.assert_array_equal(b.shift, x[5:].mean(axis=0))
    np.testing.assert_array_equal(c.shift, x.mean(axis=0))


def test_an_error_names_its_batch() -> None:
    controls = Controls(np.ones((4, 2)), np.array([0, 0, 1, 1]), ["p1", "p2"])
    with pytest.raises(ValueError, match="batch 'p1': the 2 control"):
        controls.each(lambda x: fit_sphere(x, "ZCA", 1e-6, "singular_values"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_change_nothing(dtype, rng, monkeypatch) -> None:
    x, batch = mixed(rng, 50, 3).astype(dtype), rng.integers(0, 2, 50)
    maps = [Affine(np.ones(3), 2.0, np.eye(3)[:, :2]), Affine(np.zeros(3), 1.0, np.eye(3)[:, 1:])]
    want = apply_by_batch(x, batch, maps)
    assert want.dtype == dtype
    monkeypatch.setattr(affine, "BLOCK_ROWS", 7)
    np.testing.assert_array_equal(apply_by_batch(x, batch, maps), want)
    np.testing.assert_allclose(want[batch == 0], ((x[batch == 0] - 1) / 2)[:, :2], rtol=1e-6)
