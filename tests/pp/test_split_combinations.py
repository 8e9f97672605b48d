from __future__ import annotations

import pytest
from tests.helpers import assert_sound_split, make_screen, refused

import pertscope as ps

SINGLES = ["A", "B", "C", "D", "E"]
DOUBLES = ["A+B", "A+C", "A+D", "A+E", "B+C", "B+D", "B+E", "C+D", "C+E", "D+E"]
TRIPLE = "A+B+C"


@pytest.mark.parametrize("fraction", [0.2, 0.7, 1.0])
def test_fraction_of_the_eligible_in_each_context(fraction) -> None:
    ineligible = ["A+Z", "Y+Z"]  # Z and Y were never measured alone
    adata = make_screen([*SINGLES, *DOUBLES, *ineligible], contexts=["x", "y"])
    ps.pp.split_combinations(adata, fraction=fraction)
    table = assert_sound_split(adata).query("~is_control")
    assert (table.loc[~table["is_combination"], "split"] == "train").all()
    assert (table.loc[table["perturbation"].isin(ineligible), "split"] == "train").all()
    held_out = table[table["split"] != "train"]
    assert (held_out["cell_type"].value_counts() == round(fraction * 10)).all()


def test_singles_must_be_seen_in_the_same_context() -> None:
    adata = make_screen({"x": [*SINGLES, *DOUBLES], "y": DOUBLES})
    ps.pp.split_combinations(adata, fraction=1)
    held_out = ps.get.conditions(adata).query("split in ['val', 'test']")
    assert set(held_out["cell_type"]) == {"x"}
    assert len(held_out) == len(DOUBLES)


def test_parts_seen_in_any_training_condition() -> None:
    adata = make_screen([*DOUBLES, TRIPLE], contexts=["x"])
    with refused(adata, ValueError, r"0 of 11 combination\(s\) can be held out.*`seen='parts'`"):
        ps.pp.split_combinations(adata)
    ps.pp.split_combinations(adata, seen="parts", fraction=0.5)
    table = assert_sound_split(adata)
    assert table["split"].isin(["val", "test"]).sum() == round(0.5 * 11)
    ps.pp.split_combinations(adata, seen="parts", fraction=1.0)
    assert_sound_split(adata)


def test_either_order_of_parts() -> None:
    adata = make_screen([*SINGLES, "B+A", "D+C", "E+A+B"])
    ps.pp.split_combinations(adata, fraction=1)
    assert ps.get.conditions(adata)["split"].isin(["val", "test"]).sum() == 9


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"fraction": 0}, "`fraction`=0 must be above 0"),
        ({"fraction": 2}, "`fraction`=2 must be above 0 and at most 1"),
        ({"seen": "all"}, "`seen`='all' must be 'singles' or 'parts'"),
    ],
)
def test_refusals(keys, match) -> None:
    adata = make_screen(SINGLES + DOUBLES)
    with refused(adata, ValueError, match):
        ps.pp.split_combinations(adata, **keys)


@pytest.mark.parametrize(("labels", "n"), [(SINGLES, 0), ([*SINGLES, "A+B"], 1)])
def test_too_few_combinations(labels, n) -> None:
    adata = make_screen(labels, contexts=["x"])
    with refused(
        adata, ValueError, rf"{n} of {n} combination\(s\) can be held out.*separator '\+'"
    ):
        ps.pp.split_combinations(adata)


def test_without_a_separator_there_are_no_combinations() -> None:
    adata = make_screen(SINGLES + DOUBLES, register=False)
    ps.pp.register(adata, covariate_keys=["cell_type"], combination_separator=None)
    with refused(adata, ValueError, "0 of 0 combination.*separator None"):
        ps.pp.split_combinations(adata)


def test_devel(devel) -> None:
    ps.pp.register(devel, perturbation_key="condition", covariate_keys=["cell_type"])
    ps.pp.split_combinations(devel, seen="parts", fraction=0.3)
    assert_sound_split(devel)
