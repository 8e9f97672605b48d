"""Train on less, under one val and test."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.helpers import assert_sound_split, make_screen, refused

import pertscope as ps

LABELS = [f"p{i}" for i in range(12)]
PAIRS = ["p0+p1", "p0+p2", "p1+p2", "p3+p4", "p4+p5", "p3+p5"]


def split_screen(labels=LABELS, n_cells=10):
    adata = make_screen(labels, n_cells=n_cells, contexts="xyz")
    ps.pp.split_transfer(adata, max_held_out=1, max_fraction=0.3)
    return adata


def trained(adata) -> set[str]:
    return set(adata.obs_names[adata.obs["split"] == "train"])


@pytest.mark.parametrize("of", ["conditions", "cells"])
@pytest.mark.parametrize("seed", range(3))
def test_nested_and_of_the_wanted_size(of, seed) -> None:
    whole = split_screen()
    before = whole.obs.copy()
    table = ps.get.conditions(whole).query("~is_control and split == 'train'")
    kept = []
    for fraction in (0.5, 0.7, 1.0):
        adata = whole.copy()
        ps.pp.subsample_train(adata, fraction, of=of, seed=seed)
        assert_sound_split(adata)
        held = before["split"].isin(["val", "test"])
        assert adata.obs["split"][held].equals(before["split"][held])
        controls = before["perturbation"] == "control"
        assert adata.obs["split"][controls].equals(before["split"][controls])
        perturbed = adata[(adata.obs["split"] == "train") & ~controls].obs
        sizes = perturbed.groupby(["cell_type", "perturbation"], observed=True).size()
        if of == "conditions":
            assert len(sizes) == round(fraction * len(table))
            assert (sizes == 10).all()
        else:
            assert len(sizes) == len(table)
            assert (sizes == round(fraction * 10)).all()
        kept.append(trained(adata))
    assert kept[0] < kept[1] < kept[2] == trained(whole)


def test_seeds() -> None:
    found = []
    for seed in (0, 0, 1):
        adata = split_screen()
        ps.pp.subsample_train(adata, 0.5, seed=seed)
        found.append(trained(adata))
    assert found[0] == found[1] != found[2]


def test_what_val_and_test_need_stays(capsys) -> None:
    adata = make_screen([*LABELS[:6], *PAIRS], contexts="x")
    ps.pp.split_combinations(adata, seed=0)
    held = ps.get.conditions(adata).query("split in ('val', 'test') and ~is_control")
    needed = {p for label in held["perturbation"] for p in label.split("+")}
    train = ps.get.conditions(adata).query("split == 'train' and ~is_control")
    least = 1.0
    for n in range(1, len(train) + 1):
        smaller = adata.copy()
        try:
            ps.pp.subsample_train(smaller, n / len(train))
        except ValueError:
            continue
        least = min(least, n / len(train))
        left = ps.get.conditions(smaller).query("split == 'train' and ~is_control")
        assert needed <= {p for label in left["perturbation"] for p in label.split("+")}
        assert len(left) == n
    assert 0 < least < 1
    with refused(adata, ValueError, r"keeps 1 of \d+ training conditions, but \d+ are needed"):
        ps.pp.subsample_train(adata, 1 / len(train))
    assert "unused" in capsys.readouterr().out


def test_recorded() -> None:
    adata = split_screen()
    ps.pp.subsample_train(adata, 0.5, of="cells", seed=3)
    how = json.loads(adata.uns["pertscope"]["splits"]["split"])
    assert how["function"] == "split_transfer"
    assert how["subsample_train"] == {"fraction": 0.5, "of": "cells", "seed": 3}


def test_not_twice() -> None:
    """A second part would be a part of the first, and the record would not say so."""
    adata = split_screen()
    ps.pp.subsample_train(adata, 0.8, of="cells")
    with refused(adata, ValueError, r"is a part already .*'fraction': 0.8.*: split the screen ag"):
        ps.pp.subsample_train(adata, 0.8)
    ps.pp.split_transfer(adata, max_held_out=1, max_fraction=0.3)
    ps.pp.subsample_train(adata, 0.8)


@pytest.mark.parametrize("of", ["conditions", "cells"])
@pytest.mark.parametrize("val_fraction", [0, 0.2])
@pytest.mark.parametrize(
    ("split", "kind"), [("split_unseen", "perturbations"), ("split_contexts", "contexts")]
)
def test_splits_that_hold_out_more_than_conditions(split, kind, val_fraction, of) -> None:
    adata = make_screen(LABELS, n_cells=10)
    getattr(ps.pp, split)(adata, val_fraction=val_fraction)
    before = adata.obs["split"].copy()
    ps.pp.subsample_train(adata, 0.8, of=of)
    left = adata.obs["split"]
    control = adata.obs["perturbation"] == "control"
    assert left[(before != "train") | control].equals(before[(before != "train") | control])
    was = (before == "train") & ~control
    assert (left[was] == "train").mean() == pytest.approx(0.8, abs=0.03)
    how = json.loads(adata.uns["pertscope"]["splits"]["split"])
    assert how["function"] == split
    assert how["holds_out"] == kind


@pytest.mark.parametrize("fraction", [0, -1, 1.5, np.nan])
def test_fractions(fraction) -> None:
    adata = split_screen()
    with refused(adata, ValueError, "must lie above 0"):
        ps.pp.subsample_train(adata, fraction)


def test_refusals() -> None:
    adata = make_screen()
    with refused(adata, KeyError, "has no split 'split'"):
        ps.pp.subsample_train(adata, 0.5)
    adata = split_screen()
    with refused(adata, ValueError, "`of`='genes' must be one of"):
        ps.pp.subsample_train(adata, 0.5, of="genes")
