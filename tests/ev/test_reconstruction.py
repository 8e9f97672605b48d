"""Decoded expression, judged gene by gene and batch by batch."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from tests.ev.embedded import make_embedded, papalexi_pca
from tests.helpers import refused

import pertscope as ps
from pertscope.ev import _reconstruction_scores
from pertscope.ev._reconstruction_scores import reconstruction_scores


def values(adata, rep="X_rep", **keys) -> dict[str, float]:
    ps.ev.reconstruction(adata, rep, **keys)
    table = adata.uns["reconstruction"]
    return table.groupby("metric", observed=True)["value"].mean().to_dict()


def by_hand(y, found, batch, is_control) -> dict[str, float]:
    own = ~is_control
    spearman, pearson = [], []
    for g in range(y.shape[1]):
        if np.ptp(y[own, g]) == 0:
            continue
        flat = np.ptp(found[own, g]) == 0
        spearman.append(0 if flat else stats.spearmanr(y[own, g], found[own, g]).statistic)
        pearson.append(0 if flat else stats.pearsonr(y[own, g], found[own, g]).statistic)
    apart, largest = [], []
    for b in np.unique(batch[own]):
        rows, controls = own & (batch == b), is_control & (batch == b)
        truth = y[rows] - y[controls].mean(axis=0)
        guess = found[rows] - found[controls].mean(axis=0)
        apart.append(np.linalg.norm(guess - truth) / rows.sum())
        largest.append(np.linalg.norm(truth) / rows.sum())
    return {
        "spearman": np.mean(spearman),
        "pearson": np.mean(pearson),
        "mse": np.mean((y - found)[own] ** 2),
        "mae": np.mean(np.abs(y - found)[own]),
        "structural_integrity": 1 - np.mean(apart) / (2 * np.mean(largest)),
    }


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_array])
@pytest.mark.parametrize("block", [1, 10**6])
def test_scores_against_scipy(kind, block, monkeypatch) -> None:
    monkeypatch.setattr(_reconstruction_scores, "BLOCK_VALUES", block)
    rng = np.random.default_rng(0)
    y = np.log1p(rng.poisson(1, (90, 7)))  # ties
    found = y + rng.normal(size=y.shape)
    y[:, 2] = 1.5  # does not vary
    found[:, 4] = 0.5
    batch = np.repeat([0, 2, 3], 30)  # no cell of batch 1
    is_control = rng.random(90) < 0.3
    result = reconstruction_scores(kind(y), lambda g: found[:, g], batch, is_control)
    expected = by_hand(y, found, batch, is_control)
    assert list(result) == list(expected)
    np.testing.assert_allclose(list(result.values()), list(expected.values()), rtol=1e-10)


def test_bounds_of_structural_integrity() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, 5))
    batch, is_control = np.arange(60) % 2, np.arange(60) < 20
    for found, expected in ((y, 1), (np.zeros_like(y), 0.5), (-y, 0), (y + 3, 1)):
        result = reconstruction_scores(y, lambda g, f=found: f[:, g], batch, is_control)
        assert result["structural_integrity"] == pytest.approx(expected, abs=1e-12)


def test_signal_and_none() -> None:
    adata = make_embedded(10, signal=2, n_cells=60)
    keys = {"n_epochs": 40, "batch_size": 32, "learning_rate": 1e-2, "n_seeds": 2}
    found = values(adata, **keys)
    assert found["spearman"] > 0.9
    assert found["structural_integrity"] > 0.8
    ps.pp.random_labels(adata, "X_rep", key_added="X_floor")
    floor = values(adata, "X_floor", **keys)
    assert abs(floor["spearman"]) < 0.1
    assert floor["structural_integrity"] == pytest.approx(0.5, abs=0.05)
    assert floor["mse"] > 5 * found["mse"]
    table = adata.uns["reconstruction"]
    assert table["seed"].value_counts().to_dict() == {0: 5, 1: 5}


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix])
def test_sparse_is_dense(kind) -> None:
    adata = make_embedded(6)
    keys = {"n_epochs": 2, "n_seeds": 1, "n_hidden": 3}
    expected = values(adata, **keys)
    adata.X = kind(adata.X)
    assert values(adata, **keys) == pytest.approx(expected, rel=1e-9)


def test_papalexi(papalexi) -> None:
    adata = papalexi_pca(papalexi)
    keys = {"n_seeds": 1, "n_epochs": 5, "learning_rate": 3e-3}
    found = values(adata, "X_pca", **keys)
    ps.pp.random_labels(adata, "X_pca", key_added="X_floor")
    floor = values(adata, "X_floor", **keys)
    assert found["spearman"] > 0.1
    assert abs(floor["spearman"]) < 0.03
    assert found["structural_integrity"] > floor["structural_integrity"] + 0.01


def test_bad_input() -> None:
    adata = make_embedded(6)
    for keys, match in (
        ({"n_epochs": 0}, "must be positive"),
        ({"n_hidden": 0}, "must be positive"),
        ({"held_out_fraction": 0}, "`held_out_fraction`=0 must lie between 0 and 1"),
    ):
        with refused(adata, ValueError, match):
            ps.ev.reconstruction(adata, "X_rep", **keys)
    ps.pp.split_batches(adata)
    with refused(adata, ValueError, r"6 perturbation\(s\) are in train and in test: 'p0'"):
        ps.ev.reconstruction(adata, "X_rep", split_key="batch_split")
    part = adata[(adata.obs["perturbation"] != "control") | (adata.obs["batch"] == "b0")].copy()
    with refused(part, ValueError, r"batch\(es\) have perturbed cells but no controls: "):
        ps.ev.reconstruction(part, "X_rep", n_epochs=1)
    adata.X = np.rint(np.abs(adata.X) * 5)
    with refused(adata, ValueError, "integer counts, reconstructing log expression needs"):
        ps.ev.reconstruction(adata, "X_rep")
