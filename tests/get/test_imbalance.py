from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import make_screen

import pertscope as ps


def test_formula_on_shares_of_conditions() -> None:
    adata = make_screen({"x": ["A", "B", "C"], "y": ["A"], "z": ["A", "D"]}, n_cells=5)
    share = np.array([3, 1, 2]) / 6
    want = 1 + (share * np.log(share)).sum() / np.log(3)
    assert ps.get.imbalance(adata) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("contexts", [["x"], ["x", "y"], ["x", "y", "z"]])
def test_balanced_screens(contexts) -> None:
    assert ps.get.imbalance(make_screen(contexts=contexts)) == pytest.approx(0, abs=1e-12)
