"""Whole combinations of covariates are held out, and their controls are shared out."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.helpers import refused

import pertscope as ps


def screen(contexts=("a", "b", "c"), names=("P", "Q", "R", "S"), only=("a|S",)) -> ad.AnnData:
    """Four cells of each condition; some perturbations are in few contexts."""
    few = {name.split("|")[1] for name in only}
    rows = [
        (c, p)
        for c in contexts
        for p in ("control", *names)
        if p not in few or f"{c}|{p}" in only
        for _ in range(4)
    ]
    obs = pd.DataFrame(rows, columns=["line", "perturbation"])
    obs.index = [f"cell{i}" for i in range(len(obs))]
    adata = ad.AnnData(np.random.default_rng(0).random((len(obs), 3)).astype(np.float32), obs=obs)
    ps.pp.register(adata, covariate_keys=["line"])
    return adata


def parts(adata: ad.AnnData) -> dict[str, set[str]]:
    """Parts of the cells of each condition; missing is the empty one."""
    part = adata.obs["split"].astype(object).where(adata.obs["split"].notna(), "")
    names = adata.obs["line"].astype(str) + "|" + adata.obs["perturbation"].astype(str)
    return part.groupby(names).agg(set).to_dict()


@pytest.mark.parametrize(("fold", "line"), list(enumerate("abc")))
def test_each_is_left_out_in_turn(fold, line) -> None:
    adata = screen()
    assert ps.pp.split_contexts(adata, fold=fold) is None
    for name, found in parts(adata).items():
        c, p = name.split("|")
        if p == "control":
            want = {"train", "test"}
        elif c != line:
            want = {"train"}
        else:
            want = {""} if p == "S" else {"test"}  # nobody else tried S
        assert found == want, name
    how = json.loads(adata.uns["pertscope"]["splits"]["split"])
    assert how["function"] == "split_contexts"
    assert how["held_out"] == [line]
    assert how["fold"] == fold


def test_named_ones(capsys) -> None:
    adata = screen()
    ps.pp.split_contexts(adata, held_out=[{"line": "a"}, {"line": "c"}])
    found = parts(adata)
    assert found["b|P"] == {"train"}
    assert found["a|P"] == found["c|P"] == {"test"}
    assert found["a|S"] == {""}
    assert "unused" in capsys.readouterr().out
    how = json.loads(adata.uns["pertscope"]["splits"]["split"])
    assert how["held_out"] == ["a", "c"]
    assert not how.keys() & {"fold", "n_folds"}


def test_folds_of_several() -> None:
    adata = screen(contexts=tuple("abcdefg"), only=())
    tested = []
    for fold in range(3):
        ps.pp.split_contexts(adata, n_folds=3, fold=fold, seed=4)
        tested.append({n[0] for n, p in parts(adata).items() if p == {"test"}})
    assert sorted(map(len, tested)) == [2, 2, 3]
    assert set.union(*tested) == set("abcdefg")
    again = screen(contexts=tuple("abcdefg"), only=())
    ps.pp.split_contexts(again, n_folds=3, fold=2, seed=4)
    assert again.obs["split"].equals(adata.obs["split"])


def test_validation_keeps_perturbations_in_train() -> None:
    adata = screen(only=("a|S", "b|R"), names=("P", "Q", "R", "S"))
    ps.pp.split_contexts(adata, fold=2, val_fraction=0.5)
    found = parts(adata)
    val = {n for n, p in found.items() if p == {"val"}}
    assert len(val) == 2  # P and Q are in train twice; S and R once
    assert {n[2] for n in val} == {"P", "Q"}
    for p in "PQRS":
        assert any(found.get(f"{c}|{p}") == {"train"} for c in "ab")
    assert found["a|control"] == {"train", "val", "test"}


def test_validation_that_nothing_can_be_spared_for() -> None:
    adata = screen(contexts=("a", "b"), only=())
    with pytest.warns(UserWarning, match="`val_fraction`=0.3, but val stays empty"):
        ps.pp.split_contexts(adata, val_fraction=0.3)
    assert not any(p == {"val"} for p in parts(adata).values())


def test_effects() -> None:
    effects = ps.tl.effects(screen())
    ps.pp.split_contexts(effects, fold=1)
    assert parts(effects)["b|control"] == {"train"}
    assert parts(effects)["b|Q"] == {"test"}


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"fold": 3}, ValueError, "`fold`=3 must lie between 0 and 2"),
        ({"n_folds": 1}, ValueError, "1 fold.* of 3 combination"),
        ({"n_folds": 4}, ValueError, "4 fold.* of 3 combination"),
        ({"val_fraction": 1.0}, ValueError, "`val_fraction`=1.0"),
        ({"held_out": [{"line": "a"}], "n_folds": 3}, ValueError, "leave out `n_folds` and `fold`"),
        ({"held_out": [{"line": "a"}], "fold": 1}, ValueError, "leave out `n_folds` and `fold`"),
        ({"held_out": [{"line": "z"}]}, ValueError, "no cells with {'line': 'z'}"),
        ({"held_out": [{"lin": "a"}]}, KeyError, "'lin' is no covariate"),
        ({"held_out": [{}]}, ValueError, "'a', 'b', 'c' are all that .* nothing is left"),
    ],
)
def test_refusals(arguments, error, match) -> None:
    with refused(adata := screen(), error, match):
        ps.pp.split_contexts(adata, **arguments)


def test_nothing_shared() -> None:
    adata = screen(contexts=("a", "b"), names=("P", "Q"), only=("a|P", "b|Q"))
    with refused(adata, ValueError, "no perturbed condition in 'test'"):
        ps.pp.split_contexts(adata)
    ps.pp.register(adata)
    with refused(adata, ValueError, "no covariates"):
        ps.pp.split_contexts(adata)


def test_a_context_on_both_sides_is_found() -> None:
    from pertscope._core.conditions import screen_conditions
    from pertscope._core.screen import Screen
    from pertscope._core.splits import CONTEXTS, validate_split

    adata = screen()
    ps.pp.split_contexts(adata, fold=1)
    conditions = screen_conditions(adata, Screen.of(adata))
    cells = adata.obs["split"].astype(object).fillna("").to_numpy(copy=True)
    validate_split(conditions, cells, held_out=CONTEXTS)
    cells[conditions.index[conditions.codes] == "b|P"] = "train"
    with pytest.raises(ValueError, match="'b' have perturbed conditions in 'test' and elsewhere"):
        validate_split(conditions, cells, held_out=CONTEXTS)
