from __future__ import annotations

import pandas as pd
import pytest
from tests.helpers import make_screen

import pertscope as ps

LABELS = ["A", "B", "A+B", "B+C", "C"]


def test_table() -> None:
    adata = make_screen({"x": LABELS, "y": ["B"]}, n_cells=3, n_controls=7)
    got = ps.get.conditions(adata)
    assert got.columns.tolist() == [
        *("cell_type", "perturbation", "n_cells", "n_controls"),
        *("is_control", "is_combination", "split"),
    ]
    assert got.index.tolist() == [
        "x|A", "x|A+B", "x|B", "x|B+C", "x|C", "x|control", "y|B", "y|control",
    ]  # fmt: skip
    assert got["n_cells"].tolist() == [3] * 5 + [7, 3, 7]
    assert (got["n_controls"] == 7).all()
    assert got.index[got["is_combination"]].tolist() == ["x|A+B", "x|B+C"]
    assert got.index[got["is_control"]].tolist() == ["x|control", "y|control"]
    assert got["split"].isna().all()


def test_split_of_each_condition() -> None:
    adata = make_screen(LABELS)
    ps.pp.split_combinations(adata, fraction=1)
    got = ps.get.conditions(adata)
    names = adata.obs["cell_type"].astype(str) + "|" + adata.obs["perturbation"].astype(str)
    want = adata.obs["split"].astype(str).groupby(names).unique()
    for name, parts in want.items():
        assert set(got.loc[name, "split"].split(", ")) == set(parts)
    assert got.loc["x|control", "split"] == "train, val, test"


def test_unused_cells_have_no_part() -> None:
    adata = make_screen(LABELS)
    ps.pp.split_custom(adata, [{"cell_type": "x"}], train_on=[{"cell_type": "y"}])
    got = ps.get.conditions(adata)
    assert got.loc[got["cell_type"] == "z", "split"].isna().all()


def test_lost_controls_are_counted_as_none() -> None:
    adata = make_screen(LABELS)
    lost = (adata.obs["cell_type"] == "x") & (adata.obs["perturbation"] == "control")
    got = ps.get.conditions(adata[~lost].copy())
    assert got["n_controls"].groupby(got["cell_type"]).max().tolist() == [0, 8, 8]


def test_a_column_that_is_no_split() -> None:
    adata = make_screen(LABELS)
    adata.obs["split"] = pd.Categorical(["fold"] * adata.n_obs)
    with pytest.raises(ValueError, match=r"obs\['split'\]` holds 'fold'"):
        ps.get.conditions(adata)
