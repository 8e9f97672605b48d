from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import dense, make_screen, refused

import pertscope as ps


def by_pandas(adata, keys: list[str], control: str = "control") -> pd.DataFrame:
    frame = pd.DataFrame(dense(adata.X), adata.obs_names, adata.var_names)
    means = frame.groupby([adata.obs[k].astype(str) for k in keys]).mean()
    if len(keys) == 1:
        return means.drop(control) - means.loc[control]
    controls = means.xs(control, level=keys[-1])
    perturbed = means.drop(control, level=keys[-1])
    return perturbed - controls.loc[perturbed.index.droplevel(keys[-1])].to_numpy()


@pytest.mark.parametrize("covariate_keys", [[], ["cell_type"], ["cell_type", "batch"]])
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_against_pandas(covariate_keys, kind) -> None:
    adata = make_screen(register=False, n_cells=9)
    adata.X = kind(dense(adata.X))
    ps.pp.register(adata, covariate_keys=covariate_keys)
    got = ps.get.effects(adata)
    want = by_pandas(adata, [*covariate_keys, "perturbation"])
    assert got.index.names == [*covariate_keys, "perturbation"]
    assert (got.dtypes == np.float64).all()
    pd.testing.assert_frame_equal(got, want, rtol=1e-12, atol=1e-14)


def test_real_screens(devel, papalexi) -> None:
    ps.pp.register(devel, perturbation_key="condition", covariate_keys=["cell_type"])
    want = by_pandas(devel, ["cell_type", "condition"])
    pd.testing.assert_frame_equal(ps.get.effects(devel), want, rtol=1e-9, atol=1e-12)
    ps.pp.register(papalexi, control="non-targeting")
    ps.pp.normalize(papalexi)
    got = ps.get.effects(papalexi)
    want = by_pandas(papalexi, ["perturbation"], "non-targeting")
    pd.testing.assert_frame_equal(got, want, rtol=1e-9, atol=1e-12, check_names=False)
    assert got.loc["STAT1", "STAT1"] < 0


def test_the_registered_layer() -> None:
    adata = make_screen()
    adata.layers["double"] = adata.X * 2
    single = ps.get.effects(adata)
    ps.pp.register(adata, covariate_keys=["cell_type"], layer="double")
    pd.testing.assert_frame_equal(ps.get.effects(adata), 2 * single)


def test_counts_have_effects_too() -> None:
    adata = make_screen(counts=True)
    adata.X = adata.X.astype(np.int64)
    pd.testing.assert_frame_equal(
        ps.get.effects(adata),
        by_pandas(adata, ["cell_type", "perturbation"]),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("covariate_keys", [[], ["cell_type"]])
def test_conditions_that_share_no_batch_with_controls(covariate_keys) -> None:
    adata = make_screen(register=False, n_cells=9)
    of_b = adata.obs["perturbation"] == "B"
    adata.obs["batch"] = adata.obs["batch"].astype(object).where(~of_b, "b2")
    ps.pp.register(adata, covariate_keys=covariate_keys, batch_key="batch")
    large = {"statistic": "ba_ate", "batch_size": "large"}
    named = r"3 .*: 'x\|B', 'y\|B', 'z\|B'\." if covariate_keys else r"1 .*: 'B'\."
    with pytest.warns(UserWarning, match=named):
        table = ps.get.effects(adata, **large)
    lost = table.index.get_level_values("perturbation") == "B"
    np.testing.assert_array_equal(table.isna().any(axis=1), lost)
    assert np.isfinite(ps.get.effects(adata, statistic="ba_ate", batch_size="small")).all(axis=None)


def test_controls_dropped_since() -> None:
    adata = make_screen()
    lost = (adata.obs["cell_type"] == "y") & (adata.obs["perturbation"] == "control")
    adata = adata[~lost].copy()
    with refused(
        adata, ValueError, "no 'control' cells for 'y' any more: keep the matched controls"
    ):
        ps.get.effects(adata)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value) -> None:
    adata = make_screen()
    adata.X.data[0] = value
    gene = adata.var_names[adata.X.indices[0]]
    with refused(adata, ValueError, f"NaN or infinite values in 1 gene.*'{gene}'"):
        ps.get.effects(adata)


def test_one_gene_and_one_cell_each() -> None:
    adata = make_screen(["A"], n_cells=1, n_controls=1, n_genes=1)
    assert ps.get.effects(adata).shape == (3, 1)
