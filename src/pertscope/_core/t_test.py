"""t-tests of every group against its reference, from moments alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.gene_test import GeneTest, adjust_p_values

if TYPE_CHECKING:
    from pertscope._core.moments import Moments

VARIANTS = ("t-test", "t-test_overestim_var")
HILL_DF, HILL_T = 200.0, 10.0
"""Hill's expansion is used for more degrees of freedom than this and a smaller ``|t|``."""


def t_test(moments: Moments, reference: np.ndarray, *, variant: str = "t-test") -> GeneTest:
    """Welch's t-test of each group against its reference group, for every gene.

    ``t = (mean - mean_0) / sqrt(v / n + v_0 / n_0)`` with unbiased variances v and Welch's degrees
    of freedom. A gene that varies in neither group, or a group of one cell, has score 0 and p-value
    1. (In scanpy a gene that is constant in both groups, at different values, scores infinity.)

    Parameters
    ----------
    moments
        Moments of the groups.
    reference
        Group that each group is compared with, int ``(groups,)``; it may be the same for all.
    variant
        ``"t-test"``, or ``"t-test_overestim_var"``, which puts the group's n in place of n_0.

    Returns
    -------
    Scores, two-sided p-values, and p-values adjusted by Benjamini and Hochberg within each group.
    """
    if variant not in VARIANTS:
        raise ValueError(f"`variant`={variant!r} must be one of {VARIANTS}.")
    n = moments.n[:, None].astype(np.float64)
    n_0 = n if variant == "t-test_overestim_var" else n[reference]
    with np.errstate(divide="ignore", invalid="ignore"):
        unbiased = moments.m2 / (n - 1)
        a = unbiased / n
        b = unbiased[reference] / n_0
        error = a + b
        score = (moments.mean - moments.mean[reference]) / np.sqrt(error)
        df = error**2 / (a**2 / (n - 1) + b**2 / (n_0 - 1))
    undefined = ~np.isfinite(score)
    score[undefined] = 0.0
    p_value = _two_sided(score, df)
    p_value[undefined] = 1.0
    return GeneTest(score, p_value, adjust_p_values(p_value))


def _two_sided(t: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Two-sided p-values of Student's t.

    SciPy's, but for many degrees of freedom and a moderate t, which is nearly every gene of a
    screen: there Hill's expansion (Communications of the ACM 13, 1970, algorithm 395) is right to
    nine digits and several times faster.
    """
    from scipy.special import erfc, stdtr

    a = df - 0.5
    b = 48 * a * a
    with np.errstate(invalid="ignore", over="ignore"):
        y = a * np.log1p(t * t / df)
        numerator = ((-0.4 * y - 3.3) * y - 24) * y - 85.5
        z = ((numerator / (0.8 * y * y + 100 + b) + y + 3) / b + 1) * np.sqrt(y)
        p = erfc(z / np.sqrt(2))
    exact = ~((df > HILL_DF) & (np.abs(t) < HILL_T))
    p[exact] = 2 * stdtr(df[exact], -np.abs(t[exact]))
    return p
