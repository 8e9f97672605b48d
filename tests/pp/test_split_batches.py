"""Sides of disjoint batches, and the floor of a representation."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.ev.embedded import make_embedded
from tests.helpers import fingerprint, refused

import pertscope as ps
from pertscope._core.batch_splits import split_by_batches


@given(
    n=st.integers(20, 200),
    n_batches=st.integers(2, 8),
    n_perturbations=st.integers(2, 12),
    train_fraction=st.floats(0.05, 0.95),
    held_out=st.sampled_from([0.0, 0.3, 0.7]),
    seed=st.integers(0, 99),
)
def test_promises(n, n_batches, n_perturbations, train_fraction, held_out, seed) -> None:
    rng = np.random.default_rng(seed)
    batch = rng.integers(0, n_batches, n)
    perturbation = rng.integers(0, n_perturbations + 1, n)
    keys = {"train_fraction": train_fraction, "held_out_fraction": held_out, "seed": seed}
    try:
        train, test = split_by_batches(batch, perturbation, 0, **keys)
    except ValueError:
        # refused only where the draw leaves a side empty: more cells of each would not
        assume(False)
    assert not set(batch[train]) & set(batch[test])
    sides = [set(perturbation[side]) - {0} for side in (train, test)]
    assert all(sides)
    if held_out:
        assert not sides[0] & sides[1]
    else:
        assert sides[0] == sides[1]
    # controls of a side's batches are never left out
    left_out = ~(train | test)
    assert (perturbation[left_out] != 0).all()


def test_share_of_train() -> None:
    for seed in range(10):
        adata = make_embedded(n_batches=10, n_cells=40, n_controls=100, seed=seed)
        ps.pp.split_batches(adata, seed=seed)
        assert (adata.obs["batch_split"] == "train").mean() == pytest.approx(0.7, abs=1e-9)
        assert adata.obs["batch_split"].notna().all()


def test_written(capsys, tmp_path) -> None:
    adata = make_embedded(10)
    ps.pp.split_batches(adata, held_out_fraction=0.3, seed=2, key_added="sides")
    assert "perturbations" in capsys.readouterr().out
    assert adata.obs["sides"].cat.categories.tolist() == ["train", "test"]
    how = json.loads(adata.uns["pertscope"]["splits"]["sides"])
    assert how == {
        "function": "split_batches",
        "train_fraction": 0.7,
        "held_out_fraction": 0.3,
        "seed": 2,
    }
    first = fingerprint(adata.obs)
    ps.pp.split_batches(adata, held_out_fraction=0.3, seed=2, key_added="sides")
    assert fingerprint(adata.obs) == first
    test = adata.obs.loc[adata.obs["sides"] == "test", "perturbation"].unique()
    assert len(set(test) - {"control"}) == 3
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert ad.read_h5ad(tmp_path / "x.h5ad").obs["sides"].equals(adata.obs["sides"])


def test_bad_input() -> None:
    adata = make_embedded()
    for keys, match in (
        ({"train_fraction": 0}, "`train_fraction`=0 must be above 0 and below 1"),
        ({"held_out_fraction": 1}, "`held_out_fraction`=1 must be at least 0 and below 1"),
        ({"key_added": ""}, "must not be empty"),
    ):
        with refused(adata, ValueError, match):
            ps.pp.split_batches(adata, **keys)
    adata.obs["line"], adata.obs["dose"] = "x", 1.0
    ps.pp.register(adata, covariate_keys=["line"], batch_key="batch", dose_key="dose")
    for key in ("perturbation", "line", "batch", "dose"):
        with refused(adata, ValueError, f"`key_added`='{key}' would overwrite a column"):
            ps.pp.split_batches(adata, key_added=key)
    one = make_embedded(n_batches=1)
    with refused(one, ValueError, "one batch: disjoint batches need at least two"):
        ps.pp.split_batches(one)
    ps.pp.register(one)
    with refused(one, ValueError, "register it with `batch_key"):
        ps.pp.split_batches(one)


def test_random_labels() -> None:
    adata = make_embedded()
    x = adata.obsm["X_rep"].copy()
    ps.pp.random_labels(adata, "X_rep", seed=1)
    found = adata.obsm["X_random_labels"]
    assert (adata.obsm["X_rep"] == x).all()
    assert sorted(map(tuple, found)) == sorted(map(tuple, x))
    assert (found == x).all(axis=1).mean() < 0.1
    ps.pp.random_labels(adata, "X_rep", seed=1, key_added="again")
    assert (adata.obsm["again"] == found).all()
    ps.pp.random_labels(adata, None, key_added="of_X")
    assert adata.obsm["of_X"].shape == adata.shape
    with refused(adata, KeyError, "`.obsm` has no 'X_pca'"):
        ps.pp.random_labels(adata)
