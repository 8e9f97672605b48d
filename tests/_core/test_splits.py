from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import make_screen, refused

from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope._core.splits import (
    UNUSED,
    check_fraction,
    halves,
    split_of,
    summary,
    validate_split,
    write_cells,
    write_split,
)

X, Y = {"x": ["A", "B", "A+B"]}, {"y": ["A", "B"]}


@pytest.fixture
def adata():
    return make_screen(X | Y)


@pytest.fixture
def conditions(adata):
    return screen_conditions(adata, Screen.of(adata))


def place(conditions, name: str) -> int:
    return conditions.index.get_loc(name)


@given(strata=st.lists(st.integers(0, 4), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_halves(strata, seed) -> None:
    strata = np.array(strata)
    held_out = np.flatnonzero(np.arange(len(strata)) % 3 > 0)
    part = halves(held_out, strata, np.random.default_rng(seed))
    assert sorted(part) == held_out.tolist()
    for chosen in (held_out, *(held_out[strata[held_out] == s] for s in np.unique(strata))):
        sides = [part[i] for i in chosen]
        assert set(sides) <= {"val", "test"}
        assert abs(sides.count("val") - sides.count("test")) <= 1
    assert len(held_out) != 1 or set(part.values()) == {"test"}


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
def test_write_split(adata, conditions, fraction, capsys) -> None:
    parts = {place(conditions, "x|A+B"): "val", place(conditions, "y|A"): "test"}
    parts[place(conditions, "y|B")] = UNUSED
    write_split(
        adata,
        conditions,
        parts,
        train_control_fraction=fraction,
        seed=np.int64(3),
        how={"by": "me"},
    )
    column = adata.obs["split"]
    assert column.cat.categories.tolist() == ["train", "val", "test"]
    names = conditions.index[conditions.codes]
    for name, part in {"x|A+B": "val", "y|A": "test", "x|A": "train", "y|B": None}.items():
        assert set(column[names == name].astype(object).where(lambda v: v.notna(), None)) == {part}
    for name in ("x|control", "y|control"):
        counts = column[names == name].value_counts()
        assert counts["train"] == 8 * fraction
        assert counts["val"] == counts["test"] == 4 * (1 - fraction)
    assert json.loads(adata.uns["pertscope"]["splits"]["split"])["by"] == "me"
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("conditions", "train", "val", "test", "unused"))
    table = summary(conditions, split_of(adata, conditions))
    assert table["cells"].sum() + table["controls"].sum() == adata.n_obs
    assert table.loc["val", ["conditions", "combinations", "covariates"]].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"x|A": "val"}, "no perturbed condition in 'test'"),
        (
            {"x|A": "val", "y|A": "test", "x|A+B": "test"},
            r"1 condition\(s\) in 'val' apply a perturbation that no training condition.*'x\|A'",
        ),
        (dict.fromkeys(("x|A", "x|B", "x|A+B", "y|A", "y|B"), "test"), "condition in 'train'"),
    ],
)  # fmt: skip
def test_bad_parts_are_refused(adata, conditions, parts, match) -> None:
    parts = {place(conditions, name): part for name, part in parts.items()}
    with refused(adata, ValueError, match):
        write_split(adata, conditions, parts, train_control_fraction=0.5, seed=0, how={})


def cells_of(conditions, **parts: str) -> np.ndarray:
    """Train, but for conditions named ``x_A`` and controls dealt in turn."""
    cells = np.full(len(conditions.codes), "train", dtype=object)
    for name, part in parts.items():
        cells[conditions.codes == place(conditions, name.replace("_", "|"))] = part
    for i in np.flatnonzero(conditions.is_control):
        rows = np.flatnonzero(conditions.codes == i)
        cells[rows] = np.resize(["train", "val", "test"], len(rows))
    return cells


def test_a_condition_on_both_sides_is_a_leak(adata, conditions) -> None:
    cells = cells_of(conditions, x_A="val", x_B="test")
    validate_split(conditions, cells)
    cells[np.flatnonzero(conditions.codes == place(conditions, "x|A"))[0]] = "train"
    with refused(adata, ValueError, r"1 condition.*cells in 'train' and in 'val': 'x\|A'"):
        write_cells(adata, conditions, cells, {})


def test_every_part_needs_controls(adata, conditions) -> None:
    cells = cells_of(conditions, x_A="val", x_B="test")
    control = conditions.codes == place(conditions, "x|control")
    cells[control & (cells == "test")] = "train"
    with refused(adata, ValueError, r"'test' has no control cells for 'x\|control'"):
        write_cells(adata, conditions, cells, {})
    lost = conditions.codes != place(conditions, "y|control")
    found = screen_conditions(adata[lost], conditions.screen)
    with pytest.raises(ValueError, match="no 'control' cells for 'y' any more"):
        validate_split(found, cells_of(found, x_A="val", x_B="test"))


@pytest.mark.parametrize("value", [0, -0.1, 1.01, np.nan])
def test_fractions(value) -> None:
    with pytest.raises(ValueError, match=r"`what`=.* must be above 0 and at most 1"):
        check_fraction(value, "what")
    check_fraction(1, "what")


def test_split_of(adata, conditions) -> None:
    with refused(adata, KeyError, "no split 'split': call one of `ps.pp.split_transfer`"):
        split_of(adata, conditions)
    adata.obs["split"] = pd.Categorical(np.resize(["train", "val", "test", None], adata.n_obs))
    assert set(split_of(adata, conditions)) == {"train", "val", "test", UNUSED}
    adata.obs["split"] = "fold1"
    with refused(adata, ValueError, "holds 'fold1'; a split holds 'train', 'val', 'test'"):
        split_of(adata, conditions)
