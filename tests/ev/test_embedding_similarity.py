"""Mean canonical correlation of embeddings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import subspace_angles
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from tests.helpers import fingerprint, refused
from tests.models.response.known_effects import add, effect_screen, table_of

import pertscope as ps


def screen(**tables: np.ndarray):
    """Screen of 60 perturbations with these embeddings alone."""
    adata = effect_screen(60)
    names = table_of(adata, "true").index
    adata.uns["pertscope"]["perturbation_embeddings"].clear()
    for name, vectors in tables.items():
        add(adata, pd.DataFrame(vectors, index=names[: len(vectors)]), name)
    return adata


def pairs(adata, *args, **keys) -> pd.DataFrame:
    ps.ev.embedding_similarity(adata, *args, **keys)
    table = adata.uns["embedding_similarity"].astype({"first": str, "second": str})
    return table.set_index(["first", "second"])


def test_against_scikit_learn_and_scipy() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(60, 3))
    b = np.hstack([a[:, :2] + 0.4 * rng.normal(size=(60, 2)), rng.normal(size=(60, 1))])
    found = pairs(screen(a=a, b=b)).loc[("a", "b")]
    x, y = CCA(3, scale=True, max_iter=5000, tol=1e-12).fit(a, b).transform(a, b)
    want = np.mean([abs(np.corrcoef(x[:, i], y[:, i])[0, 1]) for i in range(3)])
    np.testing.assert_allclose(found["similarity"], want, atol=1e-5)
    wide = a @ rng.normal(size=(3, 30)) + rng.normal(size=(60, 30))
    found = pairs(screen(a=b, b=wide), n_components=4).loc[("a", "b")]
    u, v = (
        PCA(min(4, x.shape[1])).fit_transform(StandardScaler().fit_transform(x)) for x in (b, wide)
    )
    want = np.cos(subspace_angles(u, v)).mean()
    np.testing.assert_allclose(found["similarity"], want, atol=1e-6)
    assert (found["n_shared"], found["n_components"]) == (60, 3)


def test_what_is_alike() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(60, 5))
    mixed = 3 + a @ rng.normal(size=(5, 5))
    shuffled = a[rng.permutation(60)]
    constant = np.hstack([a, np.full((60, 2), 7.0)])
    found = pairs(screen(a=a, mixed=mixed, shuffled=shuffled, constant=constant))
    np.testing.assert_allclose(found.loc[("a", "mixed"), "similarity"], 1, atol=1e-5)
    np.testing.assert_allclose(found.loc[("a", "constant"), "similarity"], 1, atol=1e-5)
    other = found.loc[("a", "shuffled")]
    assert abs(other["similarity"] - other["chance"]) < 0.1
    assert 0.15 < other["chance"] < 0.35
    assert list(found.index[:3]) == [("a", "mixed"), ("a", "shuffled"), ("a", "constant")]


def test_a_linear_function_beyond_the_components() -> None:
    """Of more dimensions than components the first ones need not be the same."""
    rng = np.random.default_rng(4)
    a = rng.normal(size=(60, 25))
    adata = screen(a=a, mixed=a @ rng.normal(size=(25, 25)))
    few, all_of_them = (pairs(adata, n_components=k).iloc[0] for k in (10, 25))
    assert (few["n_components"], all_of_them["n_components"]) == (10, 25)
    assert few["chance"] < few["similarity"] < 0.97
    assert all_of_them["similarity"] == pytest.approx(1)


def test_chance_grows_with_components_and_never_becomes_one() -> None:
    rng = np.random.default_rng(2)
    adata = screen(a=rng.normal(size=(60, 100)), b=rng.normal(size=(60, 100)))
    few, many = (pairs(adata, n_components=k).iloc[0] for k in (2, 100))
    assert few["chance"] < many["chance"] < 0.9
    assert many["n_components"] == 29
    assert abs(many["similarity"] - many["chance"]) < 0.1


def test_over_the_perturbations_of_both() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=(60, 3))
    b = rng.normal(size=(30, 3))
    found = pairs(screen(a=a, b=b)).loc[("a", "b")]
    only = pairs(screen(a=a[:30], b=b)).loc[("a", "b")]
    assert found["n_shared"] == 30
    assert found["similarity"] == only["similarity"]
    adata = screen(a=a, b=b[:4], c=np.ones((60, 2)))
    assert pairs(adata)["similarity"].isna().all()
    assert pairs(adata)["n_components"].eq(0).all()


def test_what_is_written() -> None:
    adata = effect_screen(30)
    before = fingerprint(adata.uns["pertscope"])
    assert ps.ev.embedding_similarity(adata, key_added="mine") is None
    assert fingerprint(adata.uns["pertscope"]) == before
    first = fingerprint(adata.uns["mine"])
    ps.ev.embedding_similarity(adata, ["true", "random"], key_added="mine")
    assert fingerprint(adata.uns["mine"]) == first


@pytest.mark.parametrize(
    ("keys", "error", "match"),
    [
        ({"embeddings": ["tru", "random"]}, KeyError, "'tru'; nearest: 'true'"),
        ({"embeddings": ["true"]}, ValueError, "two or more names"),
        ({"embeddings": "true"}, ValueError, "two or more names, each once, not 'true'"),
        ({"embeddings": ["true", "true"]}, ValueError, "each once"),
        ({"n_components": 0}, ValueError, "`n_components`=0 must be at least 1"),
    ],
)
def test_refusals(keys, error, match) -> None:
    adata = effect_screen(30)
    with refused(adata, error, match):
        ps.ev.embedding_similarity(adata, **keys)
