from __future__ import annotations

import json

import pytest
from tests.helpers import assert_sound_split, make_screen, make_table, refused

import pertscope as ps

LABELS = [f"p{i}" for i in range(10)]


def screen(labels=LABELS, **keys):
    """Two covariates: cell type x, y, z and batch b0, b1."""
    adata = make_screen(labels, register=False, n_cells=8, **keys)
    ps.pp.register(adata, covariate_keys=["cell_type", "batch"])
    return adata


@pytest.mark.parametrize("fraction", [0.3, 0.7])
@pytest.mark.parametrize(
    ("held_out", "contexts"),
    [
        ([{"cell_type": "x", "batch": "b0"}], [("x", "b0")]),
        ([{"cell_type": "x"}], [("x", "b0"), ("x", "b1")]),
        (
            [{"cell_type": "x", "batch": "b0"}, {"cell_type": "y", "batch": "b1"}],
            [("x", "b0"), ("y", "b1")],
        ),
    ],
)
def test_named_covariates_lose_a_fraction(held_out, contexts, fraction) -> None:
    adata = screen(n_controls=16)
    ps.pp.split_custom(adata, held_out, fraction=fraction)
    table = assert_sound_split(adata).query("~is_control")
    lost = table[table["split"] != "train"].groupby(["cell_type", "batch"]).size()
    assert lost.to_dict() == dict.fromkeys(contexts, round(fraction * 10))
    how = json.loads(adata.uns["pertscope"]["splits"]["split"])
    assert how["held_out"] == held_out


def test_what_is_seen_nowhere_else_stays_in_train() -> None:
    adata = make_screen({"x": LABELS, "y": LABELS[:4]})
    ps.pp.split_custom(adata, [{"cell_type": "x"}], fraction=1)
    held_out = ps.get.conditions(adata).query("split in ['val', 'test']")
    assert held_out["perturbation"].tolist() == LABELS[:4]


def test_small_conditions_are_left_unused() -> None:
    table = make_table(LABELS, n_cells=5)
    keep = ~((table["cell_type"] == "x") & table["perturbation"].isin(LABELS[:3]))
    keep |= ~table.duplicated(["cell_type", "perturbation"])
    adata = make_screen(LABELS, n_cells=5)[keep.to_numpy()].copy()
    ps.pp.split_custom(adata, [{"cell_type": "x"}], fraction=1, min_cells=2)
    found = assert_sound_split(adata).query("~is_control")
    unused = found[found["split"].isna()]
    assert sorted(unused["perturbation"]) == LABELS[:3]
    assert (unused["n_cells"] == 1).all()
    assert found.query("cell_type == 'x' and split in ['val', 'test']")["n_cells"].min() == 5


def test_growing_training_sets_share_their_held_out_conditions() -> None:
    held_out = [{"cell_type": "x"}]
    sizes = {"small": [{"cell_type": "y"}], "full": None}
    tables = {}
    for name, train_on in sizes.items():
        adata = make_screen(LABELS)
        ps.pp.split_custom(adata, held_out, train_on=train_on)
        tables[name] = assert_sound_split(adata)
    is_held_out = tables["full"]["split"].isin(["val", "test"])
    assert (
        tables["small"].loc[is_held_out, "split"].equals(tables["full"].loc[is_held_out, "split"])
    )
    unused = tables["small"]["split"].isna()
    assert set(tables["small"].loc[unused, "cell_type"]) == {"z"}
    assert (tables["small"]["cell_type"] == "z").sum() == unused.sum()


@pytest.mark.parametrize(
    ("held_out", "keys", "error", "match"),
    [
        (
            [{"celltype": "x"}],
            {},
            KeyError,
            "`held_out`: 'celltype' is no covariate; nearest: 'cell_",
        ),
        (
            [{"cell_type": "k"}],
            {},
            ValueError,
            "`held_out`: no cells with .*'k'.*; the screen has 'x'",
        ),
        (
            [{"cell_type": "x"}],
            {"train_on": [{"cell_type": "k"}]},
            ValueError,
            "`train_on`: no cells",
        ),
        ([{"cell_type": "x"}], {"fraction": 0}, ValueError, "`fraction`=0 must be above 0"),
        ([{"cell_type": "x"}], {"fraction": 0.01}, ValueError, "0 condition.*can be held out"),
        ([{"cell_type": "x"}], {"min_cells": 99}, ValueError, r"7 are too small"),
        ([{}], {"fraction": 1}, ValueError, "30 are seen nowhere else"),
        ([], {}, ValueError, "0 condition.*can be held out"),
    ],
    ids=str,
)
def test_refusals(held_out, keys, error, match) -> None:
    adata = make_screen(LABELS)
    with refused(adata, error, match):
        ps.pp.split_custom(adata, held_out, **keys)


def test_without_covariates() -> None:
    adata = make_screen(LABELS, register=False)
    ps.pp.register(adata)
    with refused(adata, ValueError, "no covariates: register `covariate_keys` first"):
        ps.pp.split_custom(adata, [{}])
