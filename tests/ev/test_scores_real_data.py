"""Scores on PerturBench's devel screen: what collapse gets, and that a file keeps all of it."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.helpers import dense

import pertscope as ps

CASES = {
    "combinations": (["k562"], ps.pp.split_combinations, {}),
    "transfer": (["A172", "T98G", "U87MG"], ps.pp.split_transfer, {"max_fraction": 0.5}),
}


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.parametrize("case", CASES)
def test_written_and_read_again(devel, case, form, tmp_path) -> None:
    lines, split, settings = CASES[case]
    devel = devel[devel.obs["cell_type"].isin(lines).to_numpy()].copy()
    ps.pp.register(devel, perturbation_key="condition", covariate_keys=["cell_type"])
    split(devel, **settings)
    for name in ("no_change", "mean_effect", "additive", "bilinear"):
        getattr(ps.tl, f"fit_{name}")(devel)
    ps.tl.fit_latent_additive(devel, max_epochs=2)
    ps.pp.add_prediction(devel, devel[(devel.obs["split"] == "test").to_numpy()].copy(), "observed")
    ps.ev.error_metrics(devel)
    ps.ev.rank_metrics(devel)
    before = ps.get.scores(devel)["mean"]

    ranks = [metric for metric in before if "rank" in metric]
    assert any("transposed" in metric for metric in ranks)
    # one effect for all perturbations of a cell line: as good as not knowing which is which
    for collapsed in ("no_change", "mean_effect"):
        assert (before.loc[collapsed, ranks] == 0.5).all()
    assert (before.loc["observed", ranks] == 0).all()

    path = tmp_path / f"devel.{form}"
    getattr(devel, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    pd.testing.assert_frame_equal(ps.get.scores(again), ps.get.scores(devel), check_exact=True)
    for name in before.index:
        kept, was = (ps.get.prediction(x, name) for x in (again, devel))
        assert list(kept.obs_names) == list(was.obs_names)
        np.testing.assert_array_equal(dense(kept.X), dense(was.X))
    for table in ("error_metrics", "rank_metrics"):
        del again.uns[table]
    ps.ev.error_metrics(again)
    ps.ev.rank_metrics(again)
    pd.testing.assert_frame_equal(
        ps.get.scores(again), ps.get.scores(devel), check_exact=True, check_like=True
    )
