"""A contract that every metric keeps, on every statistic that it takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.ev.worlds import means_of, permuted, table_of, world
from tests.helpers import dense, fingerprint, refused

import pertscope as ps
from pertscope.ev._metrics import FAMILIES, METRICS, full_names

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

LEFT_OUT = {"t-test_overestim_var", "wilcoxon_tie_corrected", "mann_whitney", "label"}
"""Gene tests like the two that are taken, and labels, which cells are not; tested elsewhere."""


def chosen() -> list[str]:
    """Full names, the slow ones on few statistics."""
    names = []
    for name, (metric, statistic) in full_names().items():
        slow = metric == "clustering_agreement" and statistic not in ("mean", "effect")
        if statistic not in LEFT_OUT and not slow and metric != "sinkhorn":  # iterates for seconds
            names.append(name)
    return names


ROUNDING = 1e-12
NAMES = chosen()
QUICK = [n for n in NAMES if not n.startswith("clustering")]
OF_CELLS = [
    n
    for n in NAMES
    if METRICS[full_names()[n][0]].needs == "cells" or n.endswith(("_variance", "_cv"))
]
OF_MEANS = [n for n in NAMES if n not in OF_CELLS]


def metric_of(name: str):
    return METRICS[full_names()[name][0]]


def judge(adata: ad.AnnData, names: list[str] = NAMES, **settings) -> pd.DataFrame:
    ps.ev.evaluate(adata, metrics=names, **{"floor": False, "ceiling": False} | settings)
    return table_of(adata)


def check_shape_and_limits(table: pd.DataFrame, adata: ad.AnnData, names: list[str]) -> None:
    """As many values as the level has, all within the limits of the metric, or NaN."""
    screen = adata.obs[adata.obs["perturbation"] != "control"]
    n_values = {
        "condition": len(screen[["cell_type", "perturbation"]].drop_duplicates()),
        "context": screen["cell_type"].nunique(),
        "all": 1,
    }
    for prediction, of_one in table.groupby("prediction"):
        found = dict(iter(of_one.groupby("name")))
        assert set(found) == set(names), prediction
        for name, rows in found.items():
            metric = metric_of(name)
            assert len(rows) == n_values[metric.level], name
            assert not rows.duplicated(["cell_type", "perturbation"]).any()
            assert (rows["perturbation"] == "(all)").all() == (metric.level != "condition")
            low, high = metric.limits
            for column in {"value", "floor", "ceiling"} & set(rows):
                value = rows[column].dropna()
                inside = value.between(low - ROUNDING, high + ROUNDING)
                assert inside.all(), f"{name}: {column} {value.to_numpy()}"


@pytest.fixture(scope="module")
def judged() -> tuple[ad.AnnData, pd.DataFrame]:
    """A world, and the scores of a right, a half right and a wrong prediction."""
    adata = world()
    for name, n_wrong in (("right", 0), ("half", 3), ("wrong", None)):
        ps.pp.add_prediction(adata, permuted(adata, n_wrong), name)
    return adata, judge(adata)


def test_registry() -> None:
    assert sum(map(len, FAMILIES.values())) == len(METRICS), "two families share a name"
    assert len(full_names()) == sum(len(m.statistics) for m in METRICS.values())
    for name, metric in METRICS.items():
        assert metric.reference, name
        assert metric.limits[0] < metric.limits[1], name
        assert metric.needs in ("means", "cells"), name
        assert metric.level in ("condition", "context", "all"), name
        assert metric.half_depth in ("", "root", "square", "residual", "spearman-brown"), name
        assert metric.higher_is_better in (True, False, None), name


def test_shape_and_limits(judged) -> None:
    adata, table = judged
    check_shape_and_limits(table, adata, NAMES)
    assert table["value"].notna().all(), table[table["value"].isna()]["name"].unique()


NOT_EXACT = ("clustering_agreement", "pr_auc")
"""Clusters depend on the resolution; p-values can be tied."""


def test_a_perfect_prediction_is_perfect(judged) -> None:
    """It reaches the best end of the limits."""
    table = judged[1].query("prediction == 'right'")
    for name, rows in table.groupby("name"):
        metric = metric_of(name)
        if metric.higher_is_better is None or name.startswith(NOT_EXACT):
            continue
        best = metric.limits[1 if metric.higher_is_better else 0]
        assert math.isfinite(best)
        # ranks of cells are often tied, and each side counts the mean over all orders
        tied = name.endswith("wilcoxon") and ("overlap" in name or "recall" in name)
        tolerance = 0.1 if tied else 1e-6
        np.testing.assert_allclose(rows["value"], best, atol=tolerance, err_msg=name)


OF_ALL_PAIRS = ("clustering_agreement", "matrix_distance")
"""Not a mean over conditions: three wrong labels can disturb it as much as six."""


def test_direction(judged) -> None:
    """Right is better than half right, which is better than wrong, in the mean."""
    mean = judged[1].pivot_table(index="name", columns="prediction", values="value")
    for name, row in mean.iterrows():
        better = metric_of(name).higher_is_better
        if better is None:
            continue
        right, half, wrong = (row[c] * (1 if better else -1) for c in ("right", "half", "wrong"))
        assert right >= half - 1e-9, f"{name}: {row.to_dict()}"
        assert right >= wrong - 1e-9, f"{name}: {row.to_dict()}"
        if not name.startswith(OF_ALL_PAIRS):
            assert half >= wrong - 1e-9, f"{name}: {row.to_dict()}"


def test_order_does_not_matter(judged) -> None:
    """Of conditions, cells and genes of the prediction."""
    adata, table = judged
    rng = np.random.default_rng(0)
    cells = permuted(adata, 3)
    shuffled = cells[rng.permutation(cells.n_obs), rng.permutation(cells.n_vars)].copy()
    labels = [str(c) for c in shuffled.obs["perturbation"].cat.categories[::-1]]
    shuffled.obs["perturbation"] = shuffled.obs["perturbation"].cat.reorder_categories(labels)
    other = world()
    ps.pp.add_prediction(other, shuffled, "half")
    got = judge(other)
    want = table.query("prediction == 'half'").reset_index(drop=True)
    columns = ["prediction", "cell_type", "perturbation", "name"]
    assert got[columns].to_numpy().tolist() == want[columns].to_numpy().tolist()
    np.testing.assert_allclose(got["value"], want["value"], rtol=1e-5, atol=1e-6)


def test_same_bytes_twice(judged) -> None:
    adata, _ = judged
    before = fingerprint(adata.uns["evaluation"])
    ps.ev.evaluate(adata, metrics=NAMES, floor=False, ceiling=False)
    assert fingerprint(adata.uns["evaluation"]) == before
    for key in ("a", "b"):
        ps.ev.evaluate(adata, "half", metrics=QUICK[::9], seed=3, key_added=key)
    assert fingerprint(adata.uns["a"]) == fingerprint(adata.uns["b"])
    for key in ("a", "b"):
        del adata.uns[key]


def test_missing_conditions(judged) -> None:
    """Scores over the others: those of single conditions are what they were."""
    _, table = judged
    adata = world()
    cells = permuted(adata, 3)
    lost = [("x", "p0"), ("y", "p5")]
    pairs = list(zip(cells.obs["cell_type"], cells.obs["perturbation"], strict=True))
    ps.pp.add_prediction(adata, cells[[p not in lost for p in pairs]].copy(), "half")
    with pytest.warns(UserWarning, match=r"'half' lacks 2 of 12 conditions.*'x\|p0', 'y\|p5'"):
        got = judge(adata)
    want = table.query("prediction == 'half'").set_index(["cell_type", "perturbation"])
    for name, rows in got.groupby("name"):
        assert len(rows) == {"condition": 10, "context": 2, "all": 1}[metric_of(name).level]
        apart = ("r2", "mae", "mse", "cosine", "energy_distance", "wasserstein", "deg_recall_at_20")
        if full_names()[name][0] in apart:  # the others look at all conditions, or at their number
            same = want[want["name"] == name].loc[rows.set_index(want.index.names).index]
            np.testing.assert_allclose(rows["value"], same["value"], rtol=1e-9, atol=1e-12)


def test_means_and_cells(judged) -> None:
    """One row per condition is enough for metrics of means, and is refused by those of cells."""
    _, table = judged
    adata = world()
    ps.pp.add_prediction(adata, means_of(permuted(adata, 3)), "half")
    got = judge(adata)
    assert sorted(got["name"].unique()) == sorted(OF_MEANS)
    assert got["value"].notna().all()
    own_test = [n for n in OF_MEANS if not n.endswith(("test", "wilcoxon"))]
    want = table.query("prediction == 'half'").reset_index(drop=True)
    a, b = (t[t["name"].isin(own_test)] for t in (got, want))
    np.testing.assert_allclose(a["value"], b["value"], rtol=1e-4, atol=1e-5)
    with refused(adata, ValueError, "'half' holds one row per condition, its mean: 'energy_dist"):
        ps.ev.distribution_metrics(adata)
    with refused(adata, ValueError, "'rmse_cv' need predicted cells. Predict with `cells_per"):
        ps.ev.error_metrics(adata, statistics=["mean", "cv"], metrics=["rmse"])
    for name in OF_CELLS:
        with pytest.raises(ValueError, match="nothing to score"):
            ps.ev.evaluate(adata, metrics=[name])


def edge(name: str) -> tuple[ad.AnnData, ad.AnnData]:
    """Screen and prediction of one kind of poverty."""
    settings = {"n_perturbations": 3, "n_cells": 6, "n_controls": 9, "n_genes": 8}
    kind = {
        "alone": {"alone": True},
        "one condition": {"n_perturbations": 1, "contexts": ("x",)},
        "two conditions": {"n_perturbations": 2},
        "one gene": {"n_genes": 1},
        "one cell": {"n_cells": 1, "n_controls": 5},
        "one control": {"n_controls": 1},
        "float64": {"dtype": np.float64},
    }.get(name, {})
    adata = world(**settings | kind)
    if name == "constant genes":
        x = dense(adata.X).astype(np.float32)
        x[:, ::2], x[:, 1] = 1, 0
        adata.X = x
    cells = permuted(adata)
    if name == "all zero":
        cells.X = np.zeros(cells.shape, dtype=np.float32)
    elif name == "constant prediction":
        cells.X = np.ones(cells.shape, dtype=np.float32)
    return adata, cells


ON_EDGES = {"mean", "ba_ate", "cv", "genes", "t-test"}
"""Statistics that are taken of poor screens."""

EDGES = (
    "alone",
    "one condition",
    "two conditions",
    "one gene",
    "one cell",
    "one control",
    "constant genes",
    "all zero",
    "constant prediction",
    "float64",
)


@pytest.mark.filterwarnings("ignore:.*cannot be ranked:UserWarning")
@pytest.mark.filterwarnings("ignore:a row of the prediction has 0 times:UserWarning")
@pytest.mark.parametrize("name", EDGES)
def test_poor_screens_and_predictions(name) -> None:
    """Floors and ceilings included, there is a value or NaN for everything, and no warning."""
    adata, cells = edge(name)
    ps.pp.add_prediction(adata, cells, "mine")
    names = [n for n in QUICK if full_names()[n][1] in ON_EDGES]
    if name == "one cell":
        names = [n for n in names if n in OF_MEANS]
    table = judge(adata, names, floor=True, ceiling=True)
    check_shape_and_limits(table, adata, names)
    errors = table["name"].isin(["rmse_mean", "mae_effect", "cosine_mean"])
    assert table.loc[errors, ["value", "floor"]].notna().all(axis=None)


def test_float32_and_float64() -> None:
    tables = []
    for dtype in (np.float32, np.float64):
        adata = world()
        adata.X = adata.X.astype(dtype)
        ps.pp.add_prediction(adata, permuted(adata, 3), "mine")
        tables.append(judge(adata, QUICK)["value"])
    np.testing.assert_allclose(*tables, rtol=1e-4, atol=1e-5)


def test_one_gene_has_no_components() -> None:
    adata, cells = edge("one gene")
    ps.pp.add_prediction(adata, cells, "mine")
    with refused(adata, ValueError, r"a PCA of 54 cell\(s\) and 1 gene\(s\) has no components"):
        ps.ev.distribution_metrics(adata)
