from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.helpers import make_table

from pertscope._core.conditions import conditions_of
from pertscope._core.imbalance import imbalance_of_counts, perturbations_per_context
from pertscope._core.screen import Screen


@given(counts=st.lists(st.integers(0, 50), min_size=2, max_size=6).filter(any))
def test_formula(counts) -> None:
    got = imbalance_of_counts(np.array(counts))
    entropy = stats.entropy(np.array(counts) / sum(counts))
    assert got == pytest.approx(1 - entropy / np.log(len(counts)), abs=1e-12)
    assert -1e-12 <= got <= 1 + 1e-12


@pytest.mark.parametrize(
    ("counts", "value"), [([7, 7, 7], 0), ([9, 0], 1), ([5], 0), ([3, 1], 1 - 0.8112781244591328)]
)
def test_known_values(counts, value) -> None:
    assert imbalance_of_counts(np.array(counts)) == pytest.approx(value, abs=1e-12)


def test_controls_are_not_counted() -> None:
    table = make_table({"x": ["A", "B"], "y": ["A"], "z": []})
    found = conditions_of(table, Screen(covariate_keys=("cell_type",)))
    assert perturbations_per_context(found).tolist() == [2, 1, 0]
