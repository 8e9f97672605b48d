"""Tests of every gene of every condition against its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.matrix import is_backed
from pertscope._core.moments import Moments
from pertscope._core.rank_sum import rank_sum_test
from pertscope._core.statistics import snap
from pertscope._core.t_test import t_test
from pertscope.ev._populations import take_rows

if TYPE_CHECKING:
    from pertscope._core.gene_test import GeneTest
    from pertscope.ev._populations import Populations
    from pertscope.ev._side import Side

RANK_SUM: dict[str, dict[str, bool]] = {
    "wilcoxon": {"tie_correct": False, "continuity": False},
    "wilcoxon_tie_corrected": {"tie_correct": True, "continuity": False},
    "mann_whitney": {"tie_correct": True, "continuity": True},
}
"""Rank-sum tests: as scanpy's without and with ``tie_correct``, and as SciPy's mannwhitneyu."""

GENE_TESTS = ("t-test", "t-test_overestim_var", *RANK_SUM)


def gene_test(side: Side, method: str) -> GeneTest:
    """Test of every condition of a side against its controls.

    Where only the mean of a condition is known, a rank sum has no meaning: it is tested by Welch's
    t with the variance of its controls and the number of cells that were observed.
    """

    def compute() -> GeneTest:
        if method in RANK_SUM and side.has_cells:
            return _rank_sum(side, method)
        variant = method if method not in RANK_SUM else "t-test"
        return t_test_against(side.moments, side.control_moments, variant)

    return side.once(("test", method), compute)


def t_test_against(found: Moments, control: Moments, variant: str) -> GeneTest:
    """t-test of each population against the one of controls at the same place."""
    p = np.arange(len(found.n))
    both = Moments(found.n, snap(found.mean, control.mean), found.m2) + control
    reference = np.concatenate([p + len(p), p + len(p)])
    return t_test(both, reference, variant=variant)[p]


def _rank_sum(side: Side, method: str) -> GeneTest:
    matrix, codes, n_groups, control_groups = _one_matrix(side)
    reference = np.arange(n_groups)
    reference[side.groups] = control_groups
    used = np.zeros(n_groups, dtype=bool)
    used[side.groups] = used[control_groups] = True
    codes = np.where((codes >= 0) & used[codes], codes, -1)
    names = list(side.populations.genes)
    found = rank_sum_test(matrix, codes, n_groups, reference, names=names, **RANK_SUM[method])
    return found[side.groups]


def _one_matrix(side: Side) -> tuple[Any, np.ndarray, int, np.ndarray]:
    """Matrix, group of each row, number of groups, and group of each condition's controls."""
    of = side.populations
    if side.controls is of and of.repeats is None:
        return of.matrix, of.codes, of.n_groups, side.control_groups
    x, codes = _used_rows(of, side.groups)
    y, control_codes = _used_rows(side.controls, side.control_groups)
    if sp.issparse(x) and sp.issparse(y):
        stacked = sp.vstack([x, y], format="csr")
    else:
        stacked = np.vstack([v.toarray() if sp.issparse(v) else v for v in (x, y)])
    codes = np.concatenate([codes, control_codes + of.n_groups])
    total = of.n_groups + side.controls.n_groups
    return stacked, codes, total, side.control_groups + of.n_groups


def _used_rows(of: Populations, groups: np.ndarray) -> tuple[Any, np.ndarray]:
    """Rows of some groups, repeated ones as often as they count, and their codes."""
    rows = np.flatnonzero(np.isin(of.codes, groups))
    if of.repeats is not None:
        rows = np.repeat(rows, of.repeats[rows])
    if len(rows) == of.matrix.shape[0] and of.repeats is None and not is_backed(of.matrix):
        return of.matrix, of.codes
    return take_rows(of.matrix, rows), of.codes[rows]
