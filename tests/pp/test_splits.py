"""What all split functions have in common."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import assert_sound_split, fingerprint, make_screen, refused

import pertscope as ps

LABELS = ["A", "B", "C", "D", "E", "A+B", "B+C", "A+E", "C+D", "D+E"]

SPLITS = {
    "transfer": lambda a, **k: ps.pp.split_transfer(a, **{"max_fraction": 0.5} | k),
    "combinations": ps.pp.split_combinations,
    "parts": lambda a, **k: ps.pp.split_combinations(a, **{"seen": "parts", "fraction": 0.5} | k),
    "inverse": lambda a, **k: ps.pp.split_inverse_combinations(a, **{"fraction": 0.5} | k),
    "custom": lambda a, **k: ps.pp.split_custom(a, [{"cell_type": "x"}], **k),
}


def every_split(seed: int = 0) -> str:
    """Hash of what every split function makes of one screen."""
    found = hashlib.sha256()
    for split in SPLITS.values():
        adata = make_screen(LABELS)
        split(adata, seed=seed)
        found.update(repr(fingerprint(adata.obs) + fingerprint(adata.uns)).encode())
    return found.hexdigest()


@pytest.mark.parametrize("name", SPLITS)
def test_sound_for_any_seed(name, capsys) -> None:
    drawn = set()
    for seed in range(5):
        adata = make_screen(LABELS)
        SPLITS[name](adata, seed=seed)
        table = assert_sound_split(adata)
        sides = table.loc[~table["is_control"], "split"].value_counts()
        assert abs(sides["val"] - sides["test"]) <= 1
        assert (table.loc[table["is_control"], "split"] == "train, val, test").all()
        drawn.add(fingerprint(adata.obs["split"]))
        how = json.loads(adata.uns["pertscope"]["splits"]["split"])
        assert how["function"].startswith("split_")
        assert how["seed"] == seed
    assert len(drawn) > 1
    assert capsys.readouterr().out.count("conditions") == 5


@given(
    labels=st.dictionaries(
        st.sampled_from("xyz"), st.sets(st.sampled_from(LABELS), min_size=1).map(sorted), min_size=2
    ),
    name=st.sampled_from(sorted(SPLITS)),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40)
def test_sound_or_refused_on_any_screen(labels, name, seed) -> None:
    adata = make_screen({"x": ["A"]} | labels, n_genes=1, n_cells=1, n_controls=4)
    before = fingerprint(adata)
    refusal = ""
    try:
        SPLITS[name](adata, seed=seed)
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert "val and test need one each" in refusal
        assert fingerprint(adata) == before
    else:
        assert_sound_split(adata)


def test_same_seed_same_bytes_whatever_the_hash_seed() -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "src"), os.environ.get("PYTHONPATH", "")])
    program = "from tests.pp.test_splits import every_split; print('hash', every_split())"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split()[-1] == every_split()
    assert every_split(1) != every_split(0)


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("name", SPLITS)
def test_share_of_controls_in_train(name, fraction) -> None:
    adata = make_screen(LABELS, n_controls=40)
    SPLITS[name](adata, train_control_fraction=fraction)
    controls = adata.obs[adata.obs["perturbation"] == "control"]
    share = controls.groupby("cell_type", observed=True)["split"].value_counts(normalize=True)
    assert share.unstack().to_numpy().tolist() == [[fraction] + [(1 - fraction) / 2] * 2] * 3


def test_the_order_of_cells_and_the_type_of_labels_do_not_matter() -> None:
    for name, split in SPLITS.items():
        tables = []
        for shuffle in (0, 1):
            adata = make_screen(LABELS, seed=shuffle)
            if shuffle:
                adata.obs["perturbation"] = adata.obs["perturbation"].astype(str)
            split(adata)
            tables.append(ps.get.conditions(adata))
        assert tables[0].equals(tables[1]), name


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize(
    ("labels", "keys", "match"),
    [
        (["A"], {}, "val and test need one each"),
        (LABELS, {"train_control_fraction": 0}, "`train_control_fraction`=0 must be above 0"),
        (LABELS, {"train_control_fraction": 1}, r"'val' has no control cells for 'x\|control'"),
    ],
)
def test_refusals(name, labels, keys, match) -> None:
    adata = make_screen(labels)
    with refused(adata, ValueError, match):
        SPLITS[name](adata, **keys)


@pytest.mark.parametrize("name", SPLITS)
def test_too_few_controls(name) -> None:
    adata = make_screen(LABELS, n_controls=2)
    with refused(adata, ValueError, "'val' has no control cells"):
        SPLITS[name](adata)


@pytest.mark.parametrize("name", SPLITS)
def test_not_registered(name) -> None:
    adata = make_screen(LABELS, register=False)
    with refused(adata, KeyError, "not registered"):
        SPLITS[name](adata)


def test_several_splits_live_beside_each_other(tmp_path) -> None:
    adata = make_screen(LABELS)
    for name, split in SPLITS.items():
        ps.pp.register(adata, covariate_keys=["cell_type"], split_key=f"split_{name}")
        split(adata)
    adata.write_h5ad(tmp_path / "x.h5ad")
    read = ad.read_h5ad(tmp_path / "x.h5ad")
    for name in SPLITS:
        assert read.obs[f"split_{name}"].equals(adata.obs[f"split_{name}"])
    assert read.uns["pertscope"]["splits"] == adata.uns["pertscope"]["splits"]
    assert set(read.uns["pertscope"]["splits"]) == {f"split_{name}" for name in SPLITS}


def test_importing_and_splitting_leave_the_global_generator_alone() -> None:
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    every_split()
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
