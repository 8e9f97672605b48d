"""``compat`` of ``ps.ev.evaluate``: the numbers of cell-eval and PerturBench, from the same cells.

Against cell-eval every metric is the same to 1e-6. It leaves the order of tied distances, and of
more than 20 genes with tied folds, to unstable sorts: there are none of these here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.ev.cell_eval import SLOW, run_cell_eval
from tests.ev.judged import (
    as_prediction,
    observed_means,
    random_means,
    screen,
    statistic_of,
    with_random,
)
from tests.ev.test_deg_cell_eval import pair_of
from tests.ev.worlds import table_of
from tests.helpers import refused

import pertscope as ps
from pertscope.ev._compat import CELL_EVAL, PERTURBENCH

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

OF_ALL = ("de_spearman_sig", *SLOW)
"""One value for all perturbations."""


@pytest.fixture(scope="module")
def pair(_read_screen) -> tuple[ad.AnnData, ad.AnnData]:
    """Predicted and observed cells of K562, each with their own controls."""
    return pair_of(_read_screen("perturbench_devel/devel.h5ad").copy(), strong=False)


@pytest.fixture(scope="module")
def judged(pair) -> ad.AnnData:
    predicted, observed = pair
    adata = observed.copy()
    ps.pp.register(adata, perturbation_key="condition")
    ps.pp.add_prediction(adata, predicted, "mine")
    ps.ev.evaluate(adata, compat="cell-eval", split=None, floor=False, ceiling=False)
    return adata


def test_every_metric_of_cell_eval_is_known(judged) -> None:
    table = table_of(judged)
    assert set(table["metric"]) == set(CELL_EVAL)
    assert set(table["statistic"]) == {"compat"}


def test_cell_eval_per_perturbation(pair, judged) -> None:
    predicted, observed = pair
    want = run_cell_eval(predicted, observed, perturbation_key="condition", control="control")
    table = table_of(judged)
    got = table[~table["metric"].isin(OF_ALL)].pivot(  # noqa: PD010
        index="perturbation", columns="metric", values="value"
    )
    assert got.index.tolist() == want.index.tolist()
    assert set(got) == set(want) - {"de_spearman_sig"}
    for name in got:
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=1e-6, err_msg=name)
    count = table.loc[table["metric"] == "de_spearman_sig", "value"]
    np.testing.assert_allclose(count, want["de_spearman_sig"].iloc[:1], atol=1e-6)


@pytest.mark.parametrize("name", SLOW)
def test_cell_eval_of_all_perturbations(pair, judged, name) -> None:
    predicted, observed = pair
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        tempfile.TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")
        from cell_eval import MetricsEvaluator
        from cell_eval.metrics._anndata import ClusteringAgreement, edistance

        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        evaluator = MetricsEvaluator(
            adata_pred=predicted.copy(),
            adata_real=observed.copy(),
            control_pert="control",
            pert_col="condition",
            num_threads=1,
            outdir=folder,
            skip_de=True,
        )
        of_both = evaluator.anndata_pair
        function = edistance if name == "pearson_edistance" else ClusteringAgreement()
        want = function(of_both)
        logging.disable(disabled)
    table = table_of(judged)
    (got,) = table.loc[table["metric"] == name, "value"]
    assert got == pytest.approx(want, abs=1e-6)


def test_predicted_controls_enter_only_where_they_are_asked_for(pair, judged) -> None:
    """cell-eval's numbers move with the predicted controls; ours are against the observed."""
    predicted, observed = pair
    adata = observed.copy()
    ps.pp.register(adata, perturbation_key="condition")
    other = predicted.copy()
    rows = (other.obs["condition"] == "control").to_numpy()
    x = other.X.toarray()
    x[rows, :20] += 1
    other.X = x
    ps.pp.add_prediction(adata, predicted, "mine")
    ps.pp.add_prediction(adata, other, "other controls")
    settings = {"metrics": ["mse", "mse_delta"], "compat": "cell-eval", "split": None}
    for control in ("own", "observed"):
        ps.ev.evaluate(adata, **settings, control=control, floor=False, ceiling=False)
        table = table_of(adata).pivot_table(index="metric", columns="prediction", values="value")
        gap = (table["mine"] - table["other controls"]).abs()
        assert gap["mse"] < 1e-12
        assert (gap["mse_delta"] < 1e-12) == (control == "observed")


def test_own_controls_that_are_missing() -> None:
    adata = with_random(screen())
    with refused(adata, ValueError, "'random' brought no controls of its own: add rows labelled"):
        ps.ev.evaluate(adata, compat="cell-eval")
    means = observed_means(adata)
    ps.pp.add_prediction(adata, as_prediction(adata, means.drop(("y", "control"))), "random")
    with refused(adata, ValueError, r"'random' has no controls for 'y\|control'"):
        ps.ev.evaluate(adata, metrics=["mse_effect"], control="own")


def test_names_of_tools() -> None:
    adata = with_random(screen())
    with refused(adata, ValueError, "perturbench has no metric 'rmse_mean'; it has"):
        ps.ev.evaluate(adata, metrics=["rmse_mean"], compat="perturbench")
    with refused(adata, ValueError, "`compat`='cell_eval' must be one of .*'cell-eval'"):
        ps.ev.evaluate(adata, compat="cell_eval")
    ps.ev.evaluate(adata, metrics=["rmse_average"], compat="perturbench")
    assert ps.get.scores(adata)["mean"].columns.tolist() == ["rmse_average_compat"]


@pytest.mark.parametrize("compat", ["perturbench", "perturbench-v1"])
def test_perturbench(compat) -> None:
    """Its names; the first version divides ranks by p; MMD is half an energy distance."""
    adata = with_random(screen())
    ps.ev.evaluate(adata, compat=compat, floor=False, ceiling=False)
    table = table_of(adata).set_index(["metric", "cell_type", "perturbation"])["value"]
    assert set(table.index.get_level_values(0)) == set(PERTURBENCH) - {"mmd_pca"}
    predicted = random_means(adata)
    observed = observed_means(adata).loc[predicted.index]
    p, o = (statistic_of(adata, m, "mean").loc["x"].to_numpy() for m in (predicted, observed))
    distance = np.sqrt(((p[:, None] - o[None]) ** 2).mean(axis=2))
    n = len(p)
    divisor = n if compat == "perturbench-v1" else n - 1
    for metric, nearer in (
        ("rmse_rank_average", distance < np.diag(distance)[None, :]),
        ("rmse_transposed_rank_average", (distance < np.diag(distance)[:, None]).T),
    ):
        got = [table.loc[(metric, "x", label)] for label in predicted.loc["x"].index]
        np.testing.assert_allclose(got, nearer.sum(axis=0) / divisor, err_msg=metric)
    unit = [
        v / np.linalg.norm(v, axis=1, keepdims=True) for v in logfcs(adata, predicted, observed)
    ]
    want = np.linalg.norm(unit[0] @ unit[0].T - unit[1] @ unit[1].T)
    assert table.loc[("matrix_distance_logfc", "(all)", "(all)")] == pytest.approx(want, rel=1e-5)


def logfcs(adata, *means: pd.DataFrame) -> list[np.ndarray]:
    return [statistic_of(adata, m, "logfc").to_numpy() for m in means]


def test_perturbench_mmd_is_half_an_energy_distance() -> None:
    adata = screen()
    cells = adata[(adata.obs["perturbation"] != "control").to_numpy()].copy()
    cells.X = cells.X * 1.2
    cells.obs = cells.obs[["cell_type", "perturbation"]]
    ps.pp.add_prediction(adata, cells, "mine")
    settings = {"floor": False, "ceiling": False}
    ps.ev.evaluate(adata, metrics=["mmd_pca"], compat="perturbench", **settings)
    half = table_of(adata)["value"]
    ps.ev.evaluate(adata, metrics=["energy_distance_pca"], **settings)
    np.testing.assert_allclose(half, table_of(adata)["value"] / 2, rtol=1e-12)
    assert (half > 0).all()
