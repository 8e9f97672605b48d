from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import assert_sound_split, make_screen, refused

import pertscope as ps

MANY = {c: [f"p{i}" for i in range(n)] for c, n in {"w": 40, "x": 30, "y": 20, "z": 11}.items()}


@pytest.mark.parametrize("max_fraction", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("max_held_out", [1, 2, None])
def test_limits(max_fraction, max_held_out) -> None:
    adata = make_screen(MANY, n_cells=1, n_genes=1)
    ps.pp.split_transfer(adata, max_fraction=max_fraction, max_held_out=max_held_out, seed=1)
    table = assert_sound_split(adata).query("~is_control")
    held_out = table[table["split"] != "train"]
    share = held_out["cell_type"].value_counts() / table["cell_type"].value_counts()
    assert (share <= max_fraction).all()
    assert held_out["perturbation"].value_counts().max() <= (max_held_out or 3)
    assert set(table["perturbation"]) == set(table.loc[table["split"] == "train", "perturbation"])
    for _, group in held_out.groupby("cell_type"):
        sides = group["split"].value_counts().reindex(["val", "test"], fill_value=0)
        assert abs(sides["val"] - sides["test"]) <= 1
    if max_fraction < 1:
        n = table["cell_type"].value_counts()
        assert (held_out["cell_type"].value_counts() == np.floor(n * max_fraction + 1e-9)).all()


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"max_fraction": 0}, "`max_fraction`=0 must be above 0"),
        ({"max_fraction": 1.5}, "`max_fraction`=1.5 must be above 0 and at most 1"),
        ({"max_fraction": 0.2}, r"only 0 condition.*raise `max_fraction` \(0.2\).*\['cell_type'\]"),
        ({"max_held_out": 0}, "`max_held_out`=0 must lie between 1 and 2"),
        ({"max_held_out": 3}, "`max_held_out`=3 must lie between 1 and 2"),
    ],
)
def test_refusals(keys, match) -> None:
    adata = make_screen()
    with refused(adata, ValueError, match):
        ps.pp.split_transfer(adata, **keys)


@pytest.mark.parametrize("covariate_keys", [[], ["one"]])
def test_a_single_context(covariate_keys) -> None:
    adata = make_screen(register=False)
    adata.obs["one"] = "same"
    ps.pp.register(adata, covariate_keys=covariate_keys)
    with refused(adata, ValueError, "at least two combinations of covariates.*`covariate_keys`"):
        ps.pp.split_transfer(adata)


def test_nothing_in_common() -> None:
    adata = make_screen({"x": ["A", "B"], "y": ["C", "D"]})
    with refused(adata, ValueError, "only 0 condition.*occur in several of"):
        ps.pp.split_transfer(adata, max_fraction=1)


def test_two_covariates() -> None:
    adata = make_screen(register=False, n_cells=8)
    ps.pp.register(adata, covariate_keys=["cell_type", "batch"])
    ps.pp.split_transfer(adata, max_fraction=0.5)
    table = ps.get.conditions(adata)
    assert (table["split"] != "train").groupby(
        [table["cell_type"], table["batch"]]
    ).sum().max() <= 3


def test_devel(devel) -> None:
    ps.pp.register(devel, perturbation_key="condition", covariate_keys=["cell_type"])
    ps.pp.split_transfer(devel, seed=0)
    table = assert_sound_split(devel)
    assert (table["split"] == "val").sum() >= 2
