"""Plots of judged representations show what the tables hold."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from tests.pl.judged_representations import (
    LEVELS,
    NAMES,
    POSTPROCESS,
    evaluated,
    integrated,
    recalled,
    screen_of,
)
from tests.pl.pictures import outside, overlapping, written

import pertscope as ps

RANDOM = "random_labels"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def best_values(table: pd.DataFrame) -> np.ndarray:
    """Highest value by metric, representations in rows, the floor last."""
    text = table.astype({"representation": str, "metric": str})
    wide = text.groupby(["representation", "level", "metric"])["value"].max()
    rows = [*text["representation"].unique()[1:], RANDOM]
    return np.array([[wide[row, level, metric] for level, _, metric in LEVELS] for row in rows])


def cells(ax, n_columns: int) -> list[list[str]]:
    """Texts of the cells of a heatmap, a list per row: values, or all texts of a row in order."""
    inside = [t for t in ax.texts if t.get_transform() == ax.transData]
    numbers = [t for t in inside if re.fullmatch(r"-?\d\.\d{3}|n/a", t.get_text())]
    rows = sorted({t.get_position()[1] for t in numbers})
    found = {(y, t.get_position()[0]): t.get_text() for t in numbers for y in [t.get_position()[1]]}
    return [[found[y, x] for x in range(n_columns)] for y in rows]


def frames(ax) -> set[tuple[int, int]]:
    """Rows and columns of framed cells."""
    framed = [p for p in ax.patches if isinstance(p, Rectangle)]
    return {(round(p.get_y() + 0.44), round(p.get_x() + 0.46)) for p in framed}


@pytest.mark.parametrize("n", [2, 12])
def test_heatmap_is_the_table(n) -> None:
    table = evaluated(n)
    ax = ps.pl.representations(screen_of(evaluate_representations=table))
    want = best_values(table)
    assert cells(ax, len(LEVELS)) == [[f"{v:.3f}" for v in row] for row in want]
    assert frames(ax) == {(int(want[:-1, j].argmax()), j) for j in range(len(LEVELS))}
    judged, floor = (mesh.get_array() for mesh in ax.collections)
    low, high = want.min(axis=0), want.max(axis=0)
    np.testing.assert_allclose(np.vstack([judged, floor]), (want - low) / (high - low))
    assert (floor[0] == [1, *[0] * (len(LEVELS) - 1)]).all()
    assert [mesh.get_clim() for mesh in ax.collections] == [(0, 1), (0, 1)]
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert (names[0], names[-1], len(names)) == ("X_pca", RANDOM, n + 1)
    height = ax.get_yticks()
    assert height[-1] - height[-2] > height[1] - height[0]
    metrics = [t.get_text().replace("\n", " ") for t in ax.get_xticklabels()]
    assert metrics[:4] == ["ilisi", "top5 accuracy", "top1 accuracy", "consistency"]
    heads = [t.get_text().replace("\n", " ") for t in ax.texts if t.get_text()[:1].isdigit()]
    heads = [head for head in heads if "." not in head]
    assert heads == [
        "1 integration",
        "2 linear probe",
        "3 consistency",
        "5 relationship recall",
        "6 reconstruction",
    ]


def test_what_did_best_is_named() -> None:
    table = evaluated(2)
    ax = ps.pl.representations(screen_of(evaluate_representations=table))
    small = {
        (int(t.get_position()[1]), t.get_position()[0]): t.get_text()
        for t in ax.texts
        if t.get_text() in POSTPROCESS
    }
    best = table[table["best"] & (table["representation"] == "X_pca")]
    assert [small[0, j] for j in range(len(LEVELS))] == best.set_index("metric").loc[
        [metric for _, _, metric in LEVELS], "postprocess"
    ].tolist()
    one = ps.pl.representations(screen_of(evaluate_representations=evaluated(2, ("raw",))))
    assert not [t for t in one.texts if t.get_text() in POSTPROCESS]


def test_one_or_all_postprocessings() -> None:
    table = evaluated(2)
    adata = screen_of(evaluate_representations=table)
    ax = ps.pl.representations(adata, postprocess="tvn")
    only = table[(table["postprocess"] == "tvn") & (table["representation"] == "X_pca")]
    assert cells(ax, len(LEVELS))[0] == [f"{v:.3f}" for v in only["value"]]
    assert ax.get_xlabel().endswith("post-processing: tvn")
    ax = ps.pl.representations(adata, postprocess="all")
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names[:3] == ["X_pca, raw", "X_pca, center_scale", "X_pca, tvn"]
    assert names[-3:] == [f"{RANDOM}, {how}" for how in POSTPROCESS]
    of_pca = table[table["representation"] == "X_pca"]["value"].to_numpy().reshape(3, -1)
    assert cells(ax, len(LEVELS))[:3] == [[f"{v:.3f}" for v in row] for row in of_pca]


def test_ties_and_what_is_not_defined() -> None:
    table = evaluated(2, ("raw",)).sort_values("level", ascending=False)
    consistency = table["metric"] == "consistency"
    table.loc[consistency, "value"] = 0.3
    lost = (table["metric"] == "ilisi") & (table["representation"] == "X_pca")
    table.loc[lost, ["value", "best"]] = [np.nan, False]
    lost = table["metric"] == "structural_integrity"
    table.loc[lost, ["value", "best"]] = [np.nan, False]
    ax = ps.pl.representations(screen_of(evaluate_representations=table))
    shown = np.array(cells(ax, len(LEVELS)))
    assert shown[0, 0] == "n/a"
    assert (shown[:, 5] == "n/a").all()
    assert {place for place in frames(ax) if place[1] in (0, 3, 5)} == {(1, 0), (0, 3), (1, 3)}
    judged = ax.collections[0]
    assert judged.get_array().mask[:, [0, 5]].tolist() == [[True, True], [False, True]]
    assert (judged.get_array()[:, 3] == 0).all()
    assert to_hex(judged.get_cmap().get_bad()) == "#cccccc"


@pytest.mark.parametrize("n", [1, 2, 12])
def test_batch_against_biology(n) -> None:
    table = integrated(n)
    ax = ps.pl.integration(screen_of(integration=table))
    wide = table.pivot_table("value", "representation", "metric", sort=False)
    points = {line.get_label(): line for line in ax.lines if line.get_marker() in ("o", "D")}
    best = wide["total"].idxmax()
    (x,), (y,) = points["best total"].get_data()
    assert (x, y) == tuple(wide.loc[best, ["batch", "biology"]])
    assert ("others" in points) == (n > 1)
    if n > 1:
        others = wide.drop(index=best)[["batch", "biology"]].to_numpy()
        np.testing.assert_array_equal(points["others"].get_xydata(), others)
    named = {text.xy: text.get_text() for text in ax.texts}
    assert len(named) == n
    for name, row in wide.iterrows():
        assert named[row["batch"], row["biology"]][:10] == name[:10]
    lines = [line for line in ax.lines if line.get_marker() == "None"]
    assert len(lines) > 2
    for line in lines:
        assert line.get_slope() == pytest.approx(-0.4 / 0.6)


def test_representations_without_both_scores_are_left_out() -> None:
    table = integrated(3)
    lost = (table["representation"] == NAMES[0]) & table["metric"].isin(["batch", "total"])
    table.loc[lost, "value"] = np.nan
    ax = ps.pl.integration(screen_of(integration=table))
    assert len(ax.texts) == 2
    table.loc[table["metric"] == "biology", "value"] = np.nan
    with pytest.raises(ValueError, match=r"no representation of .* has both scores"):
        ps.pl.integration(screen_of(integration=table))


@pytest.mark.parametrize("n", [1, 2, 12])
def test_bars_are_the_recall(n) -> None:
    table = recalled(n)
    axes = ps.pl.relationship_recall(screen_of(relationship_recall=table))
    mean = table.groupby("representation")["recall"].mean().sort_values()
    assert [ax.get_title() for ax in axes] == [
        "reactome\n1,000 pairs",
        "corum\n2,000 pairs",
        "few\n3,000 pairs",
    ]
    names = [t.get_text() for t in axes[0].get_yticklabels()]
    assert [name[:10] for name in names] == [name[:10] for name in mean.index]
    for ax in axes:
        rows = table[table["database"] == ax.get_title().split("\n")[0]].set_index("representation")
        want = rows.loc[mean.index, "recall"]
        np.testing.assert_array_equal([bar.get_width() for bar in ax.patches], want.fillna(0))
        shown = [text.get_text() for text in ax.texts]
        assert shown == ["not judged" if np.isnan(v) else f"{v:.2f}" for v in want]
        (chance,) = ax.lines
        assert chance.get_xdata()[0] == 0.1
        assert ax.get_xlim()[0] == 0
        assert ax.get_xlim()[1] > table["recall"].max()


PLOTS = {
    "representations": ps.pl.representations,
    "all": lambda a: ps.pl.representations(a, postprocess="all"),
    "integration": ps.pl.integration,
    "recall": ps.pl.relationship_recall,
}


@pytest.mark.parametrize("n", [1, 2, 12])
@pytest.mark.parametrize("plot", PLOTS)
def test_no_text_lies_over_another(n, plot, monkeypatch) -> None:
    adata = screen_of(
        evaluate_representations=evaluated(n),
        integration=integrated(n),
        relationship_recall=recalled(n, ("reactome", "a_long_database_of_pairs", "few")),
    )
    drawn = PLOTS[plot](adata)
    figure = (drawn[0] if isinstance(drawn, list) else drawn).figure
    boxes = written(figure, monkeypatch)
    assert len(boxes) > 5
    assert overlapping(boxes) == []
    assert outside(figure, boxes) == []


def test_one_column_has_room_for_its_caption(monkeypatch) -> None:
    table = evaluated(2)
    table = table[table["level"] == 3]
    ax = ps.pl.representations(screen_of(evaluate_representations=table))
    boxes = written(ax.figure, monkeypatch)
    assert overlapping(boxes) == []
    assert outside(ax.figure, boxes) == []


def test_given_axes_are_drawn_into() -> None:
    adata = screen_of(
        evaluate_representations=evaluated(2),
        integration=integrated(2),
        relationship_recall=recalled(2),
    )
    _, axes = plt.subplots(1, 3)
    assert ps.pl.representations(adata, ax=axes[0]) is axes[0]
    assert ps.pl.integration(adata, ax=axes[0]) is axes[0]
    assert ps.pl.relationship_recall(adata, axes=axes) == list(axes)
    with pytest.raises(ValueError, match="`axes` holds 2 Axes for 3 databases"):
        ps.pl.relationship_recall(adata, axes=axes[:2])


@pytest.mark.parametrize(
    ("function", "source"),
    [
        (ps.pl.representations, "evaluate_representations"),
        (ps.pl.integration, "integration"),
        (ps.pl.relationship_recall, "relationship_recall"),
    ],
)
def test_refuses(function, source) -> None:
    with pytest.raises(KeyError, match=rf"no '{source}': call `ps\.ev\.{source}` first; it is emp"):
        function(screen_of())
    adata = screen_of(other=pd.DataFrame({"value": [1.0]}), integration=integrated(2).iloc[:0])
    adata.uns["relationship_recall"] = recalled(2).iloc[:0]
    adata.uns["evaluate_representations"] = evaluated(2).iloc[:0]
    with pytest.raises(KeyError, match=r"no 'othr'.*nearest: 'other'"):
        function(adata, "othr")
    with pytest.raises(ValueError, match="has no column '"):
        function(adata, "other")
    with pytest.raises(ValueError, match=rf"is empty: call `ps\.ev\.{source}` again"):
        function(adata)


def test_unknown_postprocessing() -> None:
    adata = screen_of(evaluate_representations=evaluated(2))
    with pytest.raises(KeyError, match="no post-processing 'tvm'; nearest: 'tvn'"):
        ps.pl.representations(adata, postprocess="tvm")
