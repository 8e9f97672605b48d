"""Perturbations held out everywhere, and what that takes along."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import fingerprint, make_screen, refused

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope._core.splits import PERTURBATIONS, validate_split
from pertscope._core.unseen import perturbation_folds

LABELS = [*"ABCDEFGH", "A+B", "C+D", "B+E+F"]


def parts_of(adata) -> dict[str, set[str]]:
    """Part of each label; a label in one part in all contexts."""
    found = adata.obs.groupby("perturbation", observed=True)["split"].agg(set).drop("control")
    assert (found.map(len) == 1).all()
    return {part: {p for p, s in found.items() if s == {part}} for part in ("train", "val", "test")}


def singles(labels: set[str]) -> set[str]:
    return {part for label in labels for part in label.split("+")}


@given(
    n_folds=st.integers(2, 8),
    fold=st.integers(0, 7),
    val_fraction=st.sampled_from([0.0, 0.01, 0.3]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40)
def test_sound_or_refused(n_folds, fold, val_fraction, seed) -> None:
    adata = make_screen(LABELS, n_genes=1, n_cells=1, n_controls=4)
    before, refusal = fingerprint(adata), ""
    try:
        ps.pp.split_unseen(adata, n_folds=n_folds, fold=fold, val_fraction=val_fraction, seed=seed)
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert ("must lie between" in refusal) == (fold >= n_folds)
        assert fold >= n_folds or "no perturbed condition in" in refusal
        assert fingerprint(adata) == before
        return
    parts = parts_of(adata)
    assert parts["train"]
    assert parts["test"]
    assert bool(parts["val"]) == (val_fraction > 0)
    held_out = singles({p for p in parts["test"] | parts["val"] if "+" not in p})
    assert not held_out & singles(parts["train"])
    for part in ("test", "val"):
        assert all(singles({label}) & held_out for label in parts[part])
    alone = {p for p in parts["test"] if "+" not in p}
    assert 8 // n_folds <= len(alone) <= -(-8 // n_folds)
    controls = adata.obs[adata.obs["perturbation"] == "control"]
    assert set(controls["split"]) == {"train", "test"} | ({"val"} if val_fraction else set())
    how = json.loads(adata.uns["pertscope"]["splits"]["split"])
    assert how["function"] == "split_unseen"
    assert (how["n_folds"], how["fold"]) == (n_folds, fold)


def test_folds_cover_every_perturbation_once() -> None:
    tests = []
    for fold in range(3):
        adata = make_screen({"x": LABELS, "y": [*"ABC"]})
        ps.pp.split_unseen(adata, n_folds=3, fold=fold, seed=4)
        tests.append({p for p in parts_of(adata)["test"] if "+" not in p})
    assert sorted(p for t in tests for p in t) == [*"ABCDEFGH"]
    conditions = screen_conditions(adata, Screen.of(adata))
    folds = perturbation_folds(conditions, 3, seed=4)
    assert [{p for p, f in folds.items() if f == fold} for fold in range(3)] == tests
    shuffled = make_screen({"y": [*"ABC"], "x": LABELS[::-1]}, seed=9)
    again = screen_conditions(shuffled, Screen.of(shuffled))
    assert perturbation_folds(again, 3, seed=4) == folds
    assert perturbation_folds(again, 3, seed=5) != folds


def test_a_screen_of_effects() -> None:
    """One control row per context: it stays in train."""
    adata = ps.tl.effects(make_screen(LABELS))
    ps.pp.split_unseen(adata, val_fraction=0.2)
    controls = adata.obs.loc[adata.obs["perturbation"] == "control", "split"]
    assert set(controls) == {"train"}
    model = ps.tl.fit_mean_effect(adata)
    want = adata[(adata.obs["split"] == "train") & (adata.obs["cell_type"] == "x")]
    n = (want.obs["perturbation"] != "control").sum()
    predicted = ps.get.prediction(adata, "mean_effect")
    x = predicted[predicted.obs["cell_type"] == "x"].X
    np.testing.assert_allclose(x, np.tile(want.X.sum(axis=0) / n, (len(x), 1)), atol=1e-6)
    assert model.is_trained


@pytest.mark.parametrize(
    ("labels", "keys", "match"),
    [
        (LABELS, {"n_folds": 9}, "`n_folds`=9 must be at least 2 and at most the 8 perturb"),
        (LABELS, {"n_folds": 1}, "`n_folds`=1 must be at least 2"),
        (LABELS, {"fold": 5}, "`fold`=5 must lie between 0 and 4"),
        (LABELS, {"val_fraction": 1.0}, "`val_fraction`=1.0 must be at least 0 and below 1"),
        (LABELS, {"train_control_fraction": 0}, "`train_control_fraction`=0 must be above 0"),
        (LABELS, {"alias": {"A": "H"}}, r"1 perturbation\(s\) have more than one label: 'A = H'"),
        (LABELS, {"alias": {"A": "ENSG1", "B": "ENSG1"}}, "'A = B'.*give each one label"),
        ([*LABELS, "a"], {}, "more than one label: 'A = a'"),
        (["A+B", "A+C"], {"n_folds": 2, "seed": 0}, "no perturbed condition in"),
    ],
)
def test_refusals(labels, keys, match) -> None:
    adata = make_screen(labels)
    with refused(adata, ValueError, match):
        ps.pp.split_unseen(adata, **keys)


def test_an_alias_of_nothing_else_is_none() -> None:
    adata = make_screen(LABELS)
    ps.pp.split_unseen(adata, alias={"A": "ENSG1", "B": "ENSG2", "Z": "ENSG1"})


def test_a_leak_is_refused() -> None:
    adata = make_screen({"x": [*"ABC", "A+B"]})
    conditions = screen_conditions(adata, Screen.of(adata))
    label = conditions.labels[conditions.codes]
    cells = np.where(np.isin(label, ["C", "A+B"]), "test", "train").astype(object)
    with pytest.raises(ValueError, match=r"1 .* in 'test' apply no perturbation.*'x\|A\+B'"):
        validate_split(conditions, cells, held_out=PERTURBATIONS)
    cells[label == "A"] = "val"
    with pytest.raises(ValueError, match=r"1 .* in 'test' apply no perturbation.*'x\|A\+B'"):
        validate_split(conditions, cells, held_out=PERTURBATIONS)
    cells[label == "A+B"] = "val"
    validate_split(conditions, cells, held_out=PERTURBATIONS)
    cells[label == "control"] = "test"
    with pytest.raises(ValueError, match=r"'train' has no control cells for 'x\|control'"):
        validate_split(conditions, cells, held_out=PERTURBATIONS)
