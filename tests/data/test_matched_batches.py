from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.helpers import make_screen

from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope.data.matched_batches import MatchedBatches
from pertscope.data.matching import random_matching
from pertscope.data.perturbed_cells import HeldCells
from pertscope.data.rows import Rows, dense
from pertscope.models.feeding import matched_batches

N_CONTROLS = {0: 3, 1: 1, 2: 5}


def make(*, shuffle: bool = True, batch_size: int = 4, seed: int = 0) -> MatchedBatches:
    """Rows hold their own number; conditions 0, 1, 2 have 3, 1 and 5 controls."""
    controls = {0: np.array([0, 1, 2]), 1: np.array([3]), 2: np.array([4, 5, 6, 7, 8])}
    rows = Rows(np.arange(40, dtype=np.float32)[:, None])
    condition = np.arange(31) % 3
    return MatchedBatches(
        HeldCells(rows, np.arange(9, 40)),
        condition,
        rows,
        random_matching(condition, controls),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
    )


def feed(x, conditions, chosen) -> MatchedBatches | None:
    """As networks do."""
    return matched_batches(
        Rows(x), conditions, conditions.codes, chosen, batch_size=8, shuffle=True, seed=0
    )


def one_pass(batches: MatchedBatches) -> np.ndarray:
    """Control, cell and condition of every pair, ``(cells, 3)``."""
    parts = [(dense(b.x0)[:, 0], dense(b.x)[:, 0], b.condition) for b in batches]
    return np.concatenate([torch.stack([*p[:2], p[2].float()], 1).numpy() for p in parts]).astype(
        int
    )


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 31, 100])
def test_every_cell_once_with_a_control_of_its_condition(shuffle, batch_size) -> None:
    batches = make(shuffle=shuffle, batch_size=batch_size)
    sizes = [len(b.condition) for b in batches]
    assert len(batches) == len(sizes)
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
    for _ in range(3):
        control, cell, condition = one_pass(batches).T
        assert sorted(cell) == list(range(9, 40))
        assert (np.array_equal(cell, np.arange(9, 40))) != shuffle
        np.testing.assert_array_equal(condition, (cell - 9) % 3)
        first = np.array([0, 3, 4])[condition]
        assert (first <= control).all()
        assert (control < first + np.array([3, 1, 5])[condition]).all()


def test_draws() -> None:
    """New in every epoch when shuffled, fixed otherwise, and the seed decides."""
    shuffled, same, other = make(), make(), make(seed=1)
    epochs = [one_pass(shuffled) for _ in range(3)]
    assert not np.array_equal(epochs[0], epochs[1])
    by_cell = [e[np.argsort(e[:, 1]), 0] for e in epochs]
    assert not np.array_equal(by_cell[0], by_cell[1])  # the controls too
    for epoch in epochs:
        np.testing.assert_array_equal(one_pass(same), epoch)
    assert not np.array_equal(one_pass(other), epochs[0])
    fixed = make(shuffle=False)
    np.testing.assert_array_equal(one_pass(fixed), one_pass(fixed))
    np.testing.assert_array_equal(one_pass(fixed), one_pass(make(shuffle=False)))
    assert not np.array_equal(one_pass(fixed), one_pass(make(shuffle=False, seed=1)))


def test_batch_size_does_not_change_the_matches() -> None:
    small, large = one_pass(make(batch_size=3)), one_pass(make(batch_size=100))
    np.testing.assert_array_equal(small, large)


def test_controls_are_uniform() -> None:
    batches = make()
    drawn = np.concatenate([one_pass(batches) for _ in range(300)])
    for condition, n in N_CONTROLS.items():
        counts = np.unique(drawn[drawn[:, 2] == condition, 0], return_counts=True)[1]
        assert len(counts) == n
        expected = counts.sum() / n
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("part", ["train", "val"])
def test_matches_share_covariates_and_part(part) -> None:
    """As the networks build them from a screen."""
    adata = make_screen(["A", "B", "A+B"], n_cells=5, n_controls=9)
    rng = np.random.default_rng(0)
    split = rng.choice(["train", "val", "test"], adata.n_obs)
    adata.X = np.arange(adata.n_obs, dtype=np.float32)[:, None] + np.zeros((1, 5), np.float32)
    conditions = screen_conditions(adata, Screen.of(adata))
    batches = feed(adata.X, conditions, split == part)
    obs = adata.obs
    seen = []
    for _ in range(20):
        control, cell, condition = one_pass(batches).T
        seen.append(control)
        assert (obs["perturbation"].iloc[control] == "control").all()
        assert (obs["perturbation"].iloc[cell] != "control").all()
        np.testing.assert_array_equal(obs["cell_type"].iloc[control], obs["cell_type"].iloc[cell])
        assert (split[control] == part).all()
        wanted = np.flatnonzero((split == part) & (obs["perturbation"] != "control").to_numpy())
        np.testing.assert_array_equal(np.sort(cell), wanted)
        np.testing.assert_array_equal(conditions.codes[cell], condition)
    every = np.flatnonzero((split == part) & (obs["perturbation"] == "control").to_numpy())
    np.testing.assert_array_equal(np.unique(seen), every)


def test_missing_controls_and_empty_parts() -> None:
    adata = make_screen(["A", "B"])
    conditions = screen_conditions(adata, Screen.of(adata))
    lost = ~((adata.obs["perturbation"] == "control") & (adata.obs["cell_type"] == "y")).to_numpy()
    with pytest.raises(ValueError, match=r"no controls in their part .*'y\|A', 'y\|B'"):
        feed(adata.X, conditions, lost)
    only_controls = (adata.obs["perturbation"] == "control").to_numpy()
    assert feed(adata.X, conditions, only_controls) is None
