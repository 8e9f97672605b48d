"""The volcano shows what the table holds."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from tests.pl.pictures import outside, overlapping, written

import pertscope as ps


@pytest.fixture(params=[6, 300])
def adata(request):
    rng = np.random.default_rng(0)
    mean = np.sort(rng.uniform(0, 1, request.param))
    p = np.maximum(10 ** (-8 * mean), 1e-5)
    p[0] = np.nan
    corrected = np.minimum(p * 1.5, 1)
    table = pd.DataFrame(
        {
            "line": pd.Categorical(["u2os"] * len(p)),
            "perturbation": pd.Categorical([f"a rather long compound {i}" for i in range(len(p))]),
            "mean_average_precision": np.where(np.isnan(p), np.nan, mean),
            "p_value": p,
            "corrected_p_value": corrected,
            "n_profiles": 7,
        }
    )
    made = ad.AnnData(np.zeros((2, 1)))
    made.uns["phenotypic_activity"] = table
    yield made
    plt.close("all")


def test_points_are_the_table(adata) -> None:
    table = adata.uns["phenotypic_activity"].dropna()
    ax = ps.pl.phenotypic_activity(adata)
    points = np.concatenate([c.get_offsets() for c in ax.collections])
    expected = np.stack([table["mean_average_precision"], -np.log10(table["p_value"])], axis=1)
    np.testing.assert_allclose(points[np.argsort(points[:, 0])], expected)
    passing = table[table["corrected_p_value"] < 0.05]
    not_passing, passed = ax.collections
    assert (len(not_passing.get_offsets()), len(passed.get_offsets())) == (
        len(table) - len(passing),
        len(passing),
    )
    assert not_passing.get_paths()[0].vertices.shape != passed.get_paths()[0].vertices.shape
    line = next(x for x in ax.lines if "false discovery rate" in str(x.get_label()))
    assert line.get_ydata()[0] == pytest.approx(-np.log10(passing["p_value"].max()))
    (listed,) = ax.texts
    strongest = passing.sort_values("mean_average_precision", ascending=False).iloc[:5]
    shown = [line.split()[0] for line in listed.get_text().splitlines()[1:]]
    assert shown == [f"{value:.2f}" for value in strongest["mean_average_precision"]]


def test_no_text_lies_over_another(adata, monkeypatch) -> None:
    ax = ps.pl.phenotypic_activity(adata)
    boxes = written(ax.figure, monkeypatch)
    assert len(boxes) > 10
    assert overlapping(boxes) == []
    assert outside(ax.figure, boxes) == []


def test_where_nothing_passes(adata) -> None:
    ax = ps.pl.phenotypic_activity(adata, fdr=1e-9)
    assert not ax.texts
    assert [t.get_text() for t in ax.get_legend().get_texts()][1] == "passing: 0"
    given = plt.figure().add_subplot()
    assert ps.pl.phenotypic_activity(adata, ax=given) is given


def test_refuses(adata) -> None:
    with pytest.raises(KeyError, match=r"call `ps\.ev\.phenotypic_activity"):
        ps.pl.phenotypic_activity(adata, "activity")
    adata.uns["other"] = pd.DataFrame({"p_value": [0.1]})
    with pytest.raises(ValueError, match="no column 'mean_average_precision', 'corrected_p_value'"):
        ps.pl.phenotypic_activity(adata, "other")
    adata.uns["phenotypic_activity"] = adata.uns["phenotypic_activity"].iloc[:1]
    with pytest.raises(ValueError, match="has no p-value"):
        ps.pl.phenotypic_activity(adata)
