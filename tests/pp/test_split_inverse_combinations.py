from __future__ import annotations

import pytest
from tests.helpers import assert_sound_split, make_screen, refused

import pertscope as ps
from pertscope._core.screen import Screen

LABELS = ["A", "B", "C", "D", "E", "F", "A+B", "B+C", "C+D", "D+E", "B+Z", "A+C+F"]


@pytest.mark.parametrize("fraction", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_held_out_single_has_its_double_and_partner_in_train(fraction, seed) -> None:
    adata = make_screen(LABELS, contexts=["x", "y"])
    ps.pp.split_inverse_combinations(adata, fraction=fraction, seed=seed)
    table = assert_sound_split(adata).query("~is_control")
    assert (table.loc[table["is_combination"], "split"] == "train").all()
    held_out = table[table["split"] != "train"]
    assert 2 <= len(held_out) <= round(fraction * 12)
    assert "F" not in set(held_out["perturbation"])  # seen in a triple only
    keys = ["cell_type", "perturbation"]
    train = {tuple(row) for row in table.query("split == 'train'")[keys].to_numpy()}
    parts_of = Screen.of(adata).components
    for context, label in held_out[keys].to_numpy():
        doubles = [parts_of(p) for c, p in train if c == context and len(parts_of(p)) == 2]
        partners = {p for parts in doubles if label in parts for p in parts} - {label}
        assert any((context, p) in train for p in partners)


@pytest.mark.parametrize("labels", [["A", "B", "C"], ["A", "B", "A+B"], ["A", "A+B", "A+C"]])
def test_too_few_eligible_singles(labels) -> None:
    adata = make_screen(labels, contexts=["x"])
    with refused(
        adata, ValueError, r"[01] single perturbation\(s\) can be held out.*separator '\+'"
    ):
        ps.pp.split_inverse_combinations(adata, fraction=1)


def test_bad_fraction() -> None:
    adata = make_screen(LABELS)
    with refused(adata, ValueError, "`fraction`=-1 must be above 0"):
        ps.pp.split_inverse_combinations(adata, fraction=-1)
