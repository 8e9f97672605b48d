from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from tests.helpers import assert_sound_split, make_screen, refused

import pertscope as ps

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad

LABELS = ["A", "B", "C", "NA", "A+B", "B+C"]


@pytest.fixture
def adata() -> ad.AnnData:
    return make_screen(LABELS, contexts=["x", "None"])


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "split.csv"


def conditions_table(adata: ad.AnnData) -> pd.DataFrame:
    """All perturbed conditions in train, but for two combinations."""
    table = ps.get.conditions(adata).query("~is_control")[["cell_type", "perturbation"]]
    table["split"] = "train"
    table.loc["x|A+B", "split"] = "test"
    table.loc["None|B+C", "split"] = "val"
    return table


def test_conditions_without_controls(adata, path, capsys) -> None:
    conditions_table(adata).to_csv(path, index=False)
    ps.pp.split_from_csv(adata, path, seed=1)
    table = assert_sound_split(adata)
    assert table.loc["x|A+B", "split"] == "test"
    assert table.loc["None|B+C", "split"] == "val"
    assert (table.loc[table["is_control"], "split"] == "train, val, test").all()
    assert "conditions" in capsys.readouterr().out


def test_conditions_with_controls(path) -> None:
    adata = make_screen(["A", "B"])
    table = ps.get.conditions(adata)[["cell_type", "perturbation"]]
    table["fold"] = table["cell_type"].map({"x": "train", "y": "val", "z": "test"})
    table.to_csv(path, index=False)
    ps.pp.split_from_csv(adata, path, column="fold")
    assert_sound_split(adata)
    got = adata.obs["split"].astype(str)
    assert (
        got.tolist() == adata.obs["cell_type"].map({"x": "train", "y": "val", "z": "test"}).tolist()
    )


def test_other_order_of_parts_and_unlisted_conditions(adata, path) -> None:
    table = conditions_table(adata).replace({"A+B": "B+A", "B+C": "C + B"}).drop("x|NA")
    table.loc["x|C", "split"] = ""
    table.sample(frac=1, random_state=0).to_csv(path, index=False)
    ps.pp.split_from_csv(adata, path)
    found = assert_sound_split(adata)
    assert found.loc["x|A+B", "split"] == "test"
    assert found.index[found["split"].isna()].tolist() == ["x|C", "x|NA"]


def cells_table(adata: ad.AnnData) -> pd.DataFrame:
    reference = adata.copy()
    ps.pp.split_combinations(reference, fraction=1)
    return reference.obs[["split"]]


def test_cells(path) -> None:
    adata = make_screen(LABELS, n_controls=24)
    table = cells_table(adata)
    table.sample(frac=1, random_state=0).to_csv(path)
    ps.pp.split_from_csv(adata, str(path))
    assert_sound_split(adata)
    assert adata.obs["split"].equals(table["split"])
    table.iloc[::3, 0] = np.nan
    table[table["split"].notna()].to_csv(path)
    ps.pp.split_from_csv(adata, path)
    assert adata.obs["split"].equals(table["split"])


def test_a_split_survives_its_own_table(adata, path) -> None:
    """What ``get.conditions`` says of a split, without controls, gives the split back."""
    ps.pp.split_combinations(adata, fraction=1, seed=4)
    before = ps.get.conditions(adata)
    before.query("~is_control").to_csv(path, index=False)
    del adata.obs["split"]
    ps.pp.split_from_csv(adata, path, seed=4)
    assert ps.get.conditions(adata).equals(before)


@pytest.mark.parametrize("of_cells", [True, False])
@pytest.mark.parametrize(
    ("split", "kind"), [("split_unseen", "perturbations"), ("split_contexts", "contexts")]
)
def test_splits_that_hold_out_more_than_conditions(path, split, kind, of_cells) -> None:
    adata = make_screen(list("ABCDEFGH"))
    getattr(ps.pp, split)(adata, seed=3)
    want = adata.obs["split"].copy()
    if of_cells:
        adata.obs[["split"]].to_csv(path)
    else:
        ps.get.conditions(adata).query("~is_control").to_csv(path, index=False)
    del adata.obs["split"]
    with refused(adata, ValueError, "no perturbed condition in 'val'"):
        ps.pp.split_from_csv(adata, path, seed=3)
    ps.pp.split_from_csv(adata, path, holds_out=kind, seed=3)
    assert adata.obs["split"].equals(want)
    ps.pp.subsample_train(adata, 0.5)
    other = {"perturbations": "contexts", "contexts": "perturbations"}[kind]
    with refused(adata, ValueError, "apply a perturbation that no tr|apply no perturbation that"):
        ps.pp.split_from_csv(adata, path, holds_out=other, seed=3)
    with refused(adata, ValueError, "`holds_out`='cells' must be one of"):
        ps.pp.split_from_csv(adata, path, holds_out="cells")


def row(**values: str):
    return lambda t: pd.concat([t, pd.DataFrame([values])], ignore_index=True)


@pytest.mark.parametrize(
    ("spoil", "keys", "error", "match"),
    [
        (row(), {"column": "splti"}, KeyError, "no column 'splti'; nearest: 'split'"),
        (
            lambda t: t.replace("val", "valid"),
            {},
            ValueError,
            "column 'split': 'valid' is none of 'tr",
        ),
        (
            lambda t: t.drop(columns="cell_type"),
            {},
            KeyError,
            "no column 'cell_type'; a table of cond",
        ),
        (
            row(cell_type="x", perturbation="Q", split="val"),
            {},
            ValueError,
            r"does not have: 'x\|Q'",
        ),
        (row(perturbation="A", split="val"), {}, ValueError, r"does not have: '\|A'"),
        (
            row(cell_type="x", perturbation="B+A", split="val"),
            {},
            ValueError,
            r"more than once: 'x\|A\+B'",
        ),
        (lambda t: t[t["split"] != "val"], {}, ValueError, "no perturbed condition in 'val'"),
        (lambda t: t[t["split"] != "train"], {}, ValueError, "no perturbed condition in 'train'"),
        (lambda t: t.assign(split=""), {}, ValueError, "no perturbed condition in 'train'"),
        (
            row(cell_type="x", perturbation="control", split="train"),
            {},
            ValueError,
            "no control cells",
        ),
    ],
)
def test_bad_tables_of_conditions(adata, path, spoil, keys, error, match) -> None:
    spoil(conditions_table(adata)).to_csv(path, index=False)
    with refused(adata, error, match):
        ps.pp.split_from_csv(adata, path, **keys)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda t: t.rename({"cell0": "cell_0"}), "names 1 cell.*does not have: 'cell_0'"),
        (lambda t: pd.concat([t, t.iloc[:2]]), "lists cell.* more than once"),
        (
            lambda t: t.assign(split=np.resize(["train", "val"], len(t))),
            "no perturbed condition in",
        ),
        (
            lambda t: t.assign(split=np.resize(["train", "val", "test"], len(t))),
            "cells in 'train' and",
        ),
    ],
)
def test_bad_tables_of_cells(adata, path, spoil, match) -> None:
    spoil(cells_table(adata)).to_csv(path)
    with refused(adata, ValueError, match):
        ps.pp.split_from_csv(adata, path)


def test_no_such_file(adata, path) -> None:
    with refused(adata, FileNotFoundError, "split.csv"):
        ps.pp.split_from_csv(adata, path)
