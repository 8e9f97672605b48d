"""What a user may get wrong on the way from embeddings to unseen perturbations, one by one."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from tests.helpers import refused
from tests.models.response.known_effects import add, effect_screen, sides, split, table_of

import pertscope as ps

REGRESSORS = ["knn", "ridge", "lasso"]


@pytest.mark.parametrize("regressor", REGRESSORS)
@pytest.mark.parametrize("held_out", [True, False])
def test_no_vector_for_any_perturbation_of_a_side(regressor, held_out) -> None:
    adata = split(effect_screen(20))
    part = sides(adata)
    has, told = ("train", "held-out") if held_out else ("test", "training")
    add(adata, table_of(adata, "true").loc[part[has]], "one side")
    lost = part["test" if held_out else "train"]
    match = rf"none of the {len(lost)} {told} condition\(s\) has a vector in 'one side'.*{lost[0]}"
    with refused(adata, ValueError, match):
        ps.tl.fit_embedding_regression(
            adata, perturbation_embedding="one side", regressor=regressor
        )


def test_no_vector_for_any_perturbation_of_a_fold() -> None:
    """Listed, and predicted by the mean; other folds are predicted as they would be."""
    adata = effect_screen(20)
    split(adata, fold=2)
    lost = sides(adata)["test"]
    add(adata, table_of(adata, "true").drop(lost), "few")
    with pytest.warns(UserWarning, match=rf"no vector in 'few' for 4 of 20 .*'x\|{lost[0]}'"):
        ps.tl.cross_validate(adata, "knn", "few", bounds=["train_mean"], n_neighbors=[3])
    here = [f"x|{name}" for name in lost]
    got, mean = (ps.get.prediction(adata, k)[here].X for k in ("knn_few", "train_mean"))
    np.testing.assert_allclose(got, mean, atol=1e-6)


def test_no_perturbation_of_the_screen_is_in_the_table() -> None:
    adata = effect_screen(10)
    table = table_of(adata, "true")
    with refused(adata, ValueError, "none of the screen's perturbations has a row.*alias"):
        ps.pp.add_perturbation_embedding(adata, table.add_prefix("ENSG", axis=0), "ids")


def test_names_that_occur_twice(tmp_path) -> None:
    adata = effect_screen(10)
    table = table_of(adata, "true")
    twice = pd.concat([table, table.iloc[[3]] + 1])
    twice.to_csv(tmp_path / "twice.csv")
    for source in (twice, tmp_path / "twice.csv"):
        with refused(adata, ValueError, "occur more than once: 'p003'"):
            ps.pp.add_perturbation_embedding(adata, source, "twice")
    graph = pd.DataFrame({"entity1": ["a", "b", "a"], "entity2": ["b", "a", "c"]})
    assert ps.tl.embed_spectral(graph, 1).index.is_unique  # a pair that comes twice is one edge


def test_other_length_than_names(tmp_path) -> None:
    adata = effect_screen(10)
    table = table_of(adata, "true")
    np.savez(tmp_path / "e.npz", names=table.index[:-1].to_numpy(str), vectors=table.to_numpy())
    with refused(adata, ValueError, "9 names and 10 vectors"):
        ps.pp.add_perturbation_embedding(adata, tmp_path / "e.npz", "e")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_values(bad) -> None:
    adata = effect_screen(10)
    table = table_of(adata, "true").copy()
    table.iloc[4, 2] = bad
    with refused(adata, ValueError, r"1 row\(s\) hold NaN or infinite values: 'p004'"):
        ps.pp.add_perturbation_embedding(adata, table, "e")


@pytest.mark.parametrize("regressor", [*REGRESSORS, "elastic_net", "linear"])
def test_constant_columns(regressor) -> None:
    """A constant column says nothing; where all are constant, nothing can be learned."""
    adata = effect_screen(20)
    table = table_of(adata, "true")
    add(adata, table.assign(zero=0.0, large=1e7), "more")
    add(adata, table * 0 + 3, "flat")
    settings = {"n_neighbors": [3], "penalties": [0.1]}
    ps.tl.cross_validate(adata, regressor, ["true", "more"], **settings)
    got, want = (ps.get.prediction(adata, f"{regressor}_{e}").X for e in ("more", "true"))
    np.testing.assert_allclose(got, want, atol=1e-5)
    with refused(adata, ValueError, "nothing can be learned from 'flat'"):
        ps.tl.cross_validate(adata, regressor, "flat", **settings)


def test_fewer_perturbations_than_folds() -> None:
    adata = effect_screen(4)
    for call in (
        lambda: ps.tl.cross_validate(adata, "knn", "true"),
        lambda: ps.pp.split_unseen(adata),
    ):
        with refused(adata, ValueError, "`n_folds`=5 must be .* at most the 4 perturbations"):
            call()


@pytest.mark.parametrize("n", [6, 15])
def test_fewer_perturbations_than_neighbors(n) -> None:
    """As many neighbours as the inner folds have, whatever is asked for beyond."""
    adata = effect_screen(n)
    most = (n - n // 3) - -(-(n - n // 3) // 5)  # of two folds of three, four fifths
    for key, numbers in (("asked", [20, 100]), ("most", [most])):
        ps.tl.cross_validate(adata, "knn", "true", n_folds=3, n_neighbors=numbers, key_added=key)
    got, want = (ps.get.prediction(adata, f"{k}_true").X for k in ("asked", "most"))
    np.testing.assert_array_equal(got, want)


def test_one_perturbation_to_learn_from() -> None:
    adata = effect_screen(2)
    with refused(adata, ValueError, "nothing can be learned from 'true': no two training"):
        ps.tl.cross_validate(adata, "knn", "true", n_folds=2)


def test_a_leak_through_capitals() -> None:
    """One perturbation under two labels would be trained on and predicted."""
    adata = effect_screen(10)
    adata.obs["gene"] = adata.obs["gene"].cat.rename_categories({"p007": "P003"})
    for call in (
        lambda: ps.tl.cross_validate(adata, "knn", bounds=["train_mean"]),
        lambda: ps.pp.split_unseen(adata),
    ):
        with refused(adata, ValueError, "more than one label: 'P003 = p003'"):
            call()


@pytest.mark.parametrize("label", [" p003", "p003 "])
def test_no_leak_through_spaces(label) -> None:
    """It is the same perturbation, on the same side; two predictions of it are refused."""
    adata = effect_screen(10)
    adata.obs["gene"] = adata.obs["gene"].cat.rename_categories({"p007": label})
    with refused(adata, ValueError, "two labels for one perturbation.*p003"):
        ps.tl.cross_validate(adata, "knn", bounds=["train_mean"])
    for fold in range(5):
        part = sides(split(adata, fold=fold))
        assert sum(bool({label, "p003"} <= set(p)) for p in part.values()) == 1


def test_a_leak_through_an_alias() -> None:
    adata = effect_screen(10)
    alias = {"p003": "ENSG3", "p007": "ENSG3"}
    for call in (
        lambda: ps.tl.cross_validate(adata, "knn", "true", alias=alias),
        lambda: ps.pp.split_unseen(adata, alias=alias),
    ):
        with refused(adata, ValueError, "more than one label: 'p003 = p007'.*give each one label"):
            call()
    table = table_of(adata, "true").drop(["p003", "p007"])
    table.loc["ENSG3"] = 1.0
    with refused(adata, ValueError, "would share the row of 'ENSG3'.*both in train and test"):
        ps.pp.add_perturbation_embedding(adata, table, "ids", alias=alias)


def test_a_leak_through_a_combination() -> None:
    """A combination with a held-out part is never trained on."""
    adata = effect_screen(12)
    both = adata.obs["gene"].cat.rename_categories({"p011": "p001+p002"})
    adata.obs["gene"] = both
    adata.obs_names = ["x|" + g for g in both]
    for fold in range(5):
        split(adata, fold=fold)
        part = sides(adata)
        if {"p001", "p002"} & set(part["test"]):
            assert "p001+p002" in part["test"]


@pytest.mark.parametrize("unknown", ["no molecule", "", None, "-666"])
def test_unknown_smiles(unknown) -> None:
    """Listed and refused, or left out on demand, listed again when a model is trained."""
    pytest.importorskip("rdkit")
    adata = effect_screen(10)
    smiles = {f"p{i:03d}": "C" * (i + 1) + "O" for i in range(10)} | {"p006": unknown}
    with pytest.raises(ValueError, match=r"1 of 10 compound\(s\) have no SMILES .*'p006'"):
        ps.tl.embed_fingerprints(smiles, "ecfp")
    with pytest.warns(UserWarning, match=r"get no row.*'p006'"):
        table = ps.tl.embed_fingerprints(smiles, "ecfp", unknown="leave_out", n_bits=64)
    add(adata, table, "ecfp")
    with pytest.warns(UserWarning, match=r"no vector in 'ecfp' for 1 of 10 .*'x\|p006'"):
        ps.tl.cross_validate(adata, "knn", "ecfp", n_neighbors=[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ps.tl.cross_validate(adata, "knn", "true", n_neighbors=[2])
