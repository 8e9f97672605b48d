from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.gene_test import adjust_p_values
from pertscope._core.moments import moments
from pertscope._core.screen import Screen
from pertscope._core.t_test import _two_sided, t_test


@pytest.fixture
def groups(rng) -> list[np.ndarray]:
    """Cells of four groups of unequal size, one gene constant."""
    found = [rng.gamma(1 + i, size=(size, 6)) for i, size in enumerate((30, 2, 9, 40))]
    for x in found:
        x[:, 5] = 0.3
    return found


def moments_of(groups: list[np.ndarray]):
    codes = np.repeat(range(len(groups)), [len(x) for x in groups])
    return moments(np.vstack(groups), codes, len(groups))


def test_welch_against_scipy(groups) -> None:
    reference = np.array([0, 0, 3, 3])
    got = t_test(moments_of(groups), reference)
    for g, r in enumerate(reference):
        if g == r:
            continue
        want = stats.ttest_ind(groups[g][:, :5], groups[r][:, :5], equal_var=False)
        np.testing.assert_allclose(got.score[g, :5], want.statistic, rtol=1e-10)
        np.testing.assert_allclose(got.p_value[g, :5], want.pvalue, rtol=1e-9)
    assert (got.score[:, 5] == 0).all()
    assert (got.p_value[:, 5] == 1).all()


@pytest.mark.filterwarnings("ignore:DataFrame is highly fragmented")
@pytest.mark.parametrize("variant", ["t-test", "t-test_overestim_var"])
def test_against_scanpy(papalexi, variant) -> None:
    import scanpy as sc

    ps.pp.register(papalexi, perturbation_key="perturbation", control="non-targeting")
    ps.pp.normalize(papalexi)
    papalexi.X = papalexi.X.astype(np.float64)  # scanpy sums in the type of X
    conditions = screen_conditions(papalexi, Screen.of(papalexi))
    found = moments(papalexi.X, conditions.codes, len(conditions))
    got = t_test(found, conditions.control_of, variant=variant)

    papalexi.obs["perturbation"] = papalexi.obs["perturbation"].cat.remove_unused_categories()
    options = {"reference": "non-targeting", "method": variant}
    sc.tl.rank_genes_groups(papalexi, "perturbation", **options)
    for i in np.flatnonzero(~conditions.is_control):
        want = sc.get.rank_genes_groups_df(papalexi, conditions.labels[i])
        want = want.set_index("names").loc[papalexi.var_names]
        np.testing.assert_allclose(got.score[i], want["scores"], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(got.p_value[i], want["pvals"], rtol=1e-7, atol=1e-300)
        np.testing.assert_allclose(got.p_adjusted[i], want["pvals_adj"], rtol=1e-7, atol=1e-300)


def test_groups_of_one_cell_and_constants_at_different_values_have_no_score() -> None:
    groups = [np.array([[0.0, 1.0]] * 3), np.array([[2.0, 1.0]] * 4), np.array([[5.0, 9.0]])]
    for variant in ("t-test", "t-test_overestim_var"):
        got = t_test(moments_of(groups), np.zeros(3, int), variant=variant)
        assert (got.score == 0).all()
        assert (got.p_value == 1).all()
        assert (got.p_adjusted == 1).all()


def test_unknown_variant() -> None:
    with pytest.raises(ValueError, match=r"'wilcoxon' must be one of .*t-test_overestim_var"):
        t_test(moments_of([np.eye(2)]), np.zeros(1, int), variant="wilcoxon")


p_values = st.sampled_from([0.0, 0.01, 0.01, 0.5, 1.0]) | st.floats(0, 1)


@given(
    p=hnp.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 12)), elements=p_values)
)
def test_benjamini_hochberg_against_scipy(p) -> None:
    np.testing.assert_allclose(
        adjust_p_values(p), stats.false_discovery_control(p, axis=-1), atol=1e-15
    )


@pytest.mark.parametrize("df", [1.0, 5.5, 199.0, 201.0, 900.0, 1e5])
def test_p_values_agree_with_scipy_across_the_switch(df: float) -> None:
    t = np.linspace(-30, 30, 601)
    expected = 2 * stats.t.sf(np.abs(t), df)
    np.testing.assert_allclose(_two_sided(t, np.full_like(t, df)), expected, rtol=1e-9)
