"""Plots of unseen perturbations show what the tables say, and can be read."""

from __future__ import annotations

import contextlib
import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from tests.ev.gaps import rows_of, scored_screen
from tests.models.response.known_effects import add, effect_screen, table_of
from tests.pl.pictures import outside, overlapping, written

import pertscope as ps
from pertscope.pl._modality import COLORS, OTHER_COLOR, modalities

KINDS = ("interactome", "text", "expression", "sequence", "structure", "annotation")
BOUNDS = {"no_change": -2.0, "knn_random": -0.1, "knn_idealised": 1.5}
PLOTS = ("unseen_scores", "gap_closed", "embedding_ranks")


def judged(n: int, contexts: tuple[str, ...], **keys):
    """Screen with `n` embeddings of falling worth, and what each is made of."""
    names = [f"{KINDS[i % 6]}_embedding_{i}" for i in range(n)]
    gains = {f"knn_{name}": 1.2 - 1.6 * i / n for i, name in enumerate(names)}
    adata = scored_screen(gains | BOUNDS, contexts=contexts, **keys)
    with contextlib.redirect_stdout(io.StringIO()):
        ps.ev.gap_closed(adata, ceiling="ceiling" if "ceiling" in adata.uns else None)
    return adata, {name: name.split("_")[0] for name in names}


@pytest.fixture(scope="module")
def few():
    return judged(5, ("k562", "rpe1"))


@pytest.fixture(scope="module")
def many():
    return judged(30, ("hepg2", "jurkat", "k562", "rpe1"))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def ticks(ax) -> list[str]:
    return [t.get_text() for t in ax.get_yticklabels()]


def first(drawn):
    return drawn[0] if isinstance(drawn, list) else drawn


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("size", ["few", "many"])
def test_all_that_is_written_can_be_read(plot, size, request, monkeypatch) -> None:
    adata, modality = request.getfixturevalue(size)
    figure = first(getattr(ps.pl, plot)(adata, modality=modality)).figure
    boxes = written(figure, monkeypatch)
    assert overlapping(boxes) == []
    assert outside(figure, boxes) == []


def test_scores(few) -> None:
    adata, modality = few
    drawn = ps.pl.unseen_scores(adata, modality=modality)
    assert len(drawn) == 2
    best_last = ticks(drawn[0])
    assert best_last == [f"knn_{name}" for name in reversed(modality)]
    for ax, line in zip(drawn, ("k562", "rpe1"), strict=True):
        table = adata.uns["gap_closed"].query("line == @line and summary == 'mean'")
        whole = table[table["fold"] == "(all)"].set_index("prediction")
        folds = [x for x in ax.lines if x.get_marker() == "o"]
        for y, (name, points) in enumerate(zip(best_last, folds, strict=True)):
            rows = table[(table["prediction"] == name) & (table["fold"] != "(all)")]
            np.testing.assert_allclose(points.get_xdata(), rows["value"])
            assert np.abs(points.get_ydata() - y).max() < 0.5
            kind = modality[name.removeprefix("knn_")]
            assert to_hex(points.get_markeredgecolor()) == to_hex(COLORS[KINDS.index(kind)])
            full = points.get_markerfacecolor() != "none"
            assert full == whole.loc[name, "beats_floor"]
        bars = [c.get_segments()[0][:, 0] for c in ax.collections]
        row = whole.loc[best_last]
        want = row["floor"] - row["gain_low"], row["floor"] - row["gain_high"]
        np.testing.assert_allclose(bars, np.stack(want, axis=1))
        n = int(row["beats_floor"].sum())
        assert 0 < n < 5
        assert ax.get_title() == f"{line}\n{n} of 5 beat the floor"
        at = {x.get_label(): x.get_xdata()[0] for x in ax.lines if x.get_linestyle() != "None"}
        for bound in ("train_mean", "knn_random", "knn_idealised"):
            np.testing.assert_allclose(at[bound], whole.loc[bound, "value"])
        np.testing.assert_allclose(at["experimental error"], row["ceiling"].iloc[0])


def test_far_bounds_are_written_at_the_edge() -> None:
    adata, _ = judged(4, ("x",), ceiling=None)
    table = adata.uns["gap_closed"]
    table.loc[table["prediction"] == "no_change", "value"] = 900.0
    ax = ps.pl.unseen_scores(adata)[0]
    assert "no_change: 900 →" in [t.get_text() for t in ax.texts]
    assert ax.get_xlim()[1] < 20
    table.loc[table["prediction"] == "no_change", "value"] = -900.0
    ax = ps.pl.unseen_scores(adata)[0]
    assert "← no_change: -900" in [t.get_text() for t in ax.texts]
    assert "experimental error" not in [x.get_label() for x in ax.lines]


def test_gap_closed(few) -> None:
    adata, modality = few
    drawn = ps.pl.gap_closed(adata, modality=modality, summary="median")
    names = ticks(drawn[0])
    for ax, line in zip(drawn, ("k562", "rpe1"), strict=True):
        rows = [rows_of(adata, n, "median", line=line, fold="(all)").iloc[0] for n in names]
        bars = ax.patches[: len(names)]
        want = [100 * r["gap_closed"] for r in rows]
        np.testing.assert_allclose([b.get_width() for b in bars], want)
        assert [b.get_alpha() == 1 for b in bars] == [bool(r["beats_floor"]) for r in rows]
        ends = [c[:, 0] for c in ax.collections[0].get_segments()]
        np.testing.assert_allclose(ends, [[100 * r["ci_low"], 100 * r["ci_high"]] for r in rows])
        assert ax.get_title() == line
        assert "median l2_effect" in ax.get_xlabel()


def test_far_gaps_are_written_at_the_edge() -> None:
    adata, _ = judged(3, ("x",))
    table = adata.uns["gap_closed"]
    for i, value in enumerate((-4.2, 3.1, np.nan)):
        name = [p for p in table["prediction"].unique() if "embedding" in p][i]
        of = table["prediction"] == name
        table.loc[of, ["gap_closed", "ci_low", "ci_high"]] = value
    ax = ps.pl.gap_closed(adata)[0]
    assert {t.get_text() for t in ax.texts} == {"← -420 %", "310 % →", " no gap"}
    assert -120 < ax.get_xlim()[0] < ax.get_xlim()[1] < 220


def test_ranks(few) -> None:
    adata, modality = few
    ax = ps.pl.embedding_ranks(adata, modality=modality)
    table = adata.uns["gap_closed"]
    folds = table[(table["fold"] != "(all)") & (table["summary"] == "mean")]
    ranks = folds.groupby("prediction", observed=True)["rank"]
    names = ticks(ax)
    assert set(names) == {"train_mean", *BOUNDS, *(f"knn_{n}" for n in modality)}
    assert ranks.median()[names].is_monotonic_decreasing
    boxes = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]
    want = np.stack([ranks.quantile(q)[names] for q in (0.25, 0.75)], axis=1)
    np.testing.assert_allclose(boxes, want)
    points = [x.get_xdata() for x in ax.lines if x.get_marker() == "o"]
    for name, drawn in zip(names, points, strict=True):
        np.testing.assert_array_equal(np.sort(drawn), np.sort(ranks.get_group(name)))
    grey = {n for n, p in zip(names, ax.patches, strict=True)
            if to_hex(p.get_facecolor()) == to_hex(OTHER_COLOR)}  # fmt: skip
    assert grey == {"train_mean", *BOUNDS}
    assert ax.get_xlabel().startswith("rank in 8 folds of 2 combinations of covariates")


def test_what_was_judged_on_one_fold_is_last_and_has_no_ranks() -> None:
    adata = scored_screen({"knn_a": 1.0, "knn_b": 0.5, "knn_c": 3.0}, contexts=("x",))
    table = adata.uns["error_metrics"]
    other_folds = table["perturbation"].str[1:].astype(int) % 4 != 0
    table.loc[(table["prediction"] == "knn_c") & other_folds, "value"] = np.nan
    with (
        contextlib.redirect_stdout(io.StringIO()),
        pytest.warns(UserWarning, match=r"1 prediction\(s\) were not judged on all.*'knn_c'"),
    ):
        ps.ev.gap_closed(adata)
    assert ticks(ps.pl.embedding_ranks(adata)) == ["train_mean", "knn_b", "knn_a"]
    assert ticks(ps.pl.unseen_scores(adata)[0]) == ["knn_c", "knn_b", "knn_a"]


def test_modalities() -> None:
    of = {"spectral": "graph", "gene_spectral": "other graph", "ridge_x": "x"}
    names = ["knn_spectral", "knn_gene_spectral", "ridge_x", "gene_spectral", "knn_xspectral"]
    assert modalities(names, of) == ["graph", "other graph", "x", "other graph", "other"]
    assert modalities(names[:1], None) == ["other"]


def test_one_panel_without_folds() -> None:
    adata = scored_screen({"knn_a": 1.0}, contexts=("x",))
    del adata.obs["fold"]
    with contextlib.redirect_stdout(io.StringIO()):
        ps.ev.gap_closed(adata)
    for plot in PLOTS:
        _, mine = plt.subplots()
        one = plot == "embedding_ranks"
        got = first(
            getattr(ps.pl, plot)(adata, **{"ax" if one else "axes": mine if one else [mine]})
        )
        assert got is mine
        assert "knn_a" in ticks(got)


def test_refusals(few) -> None:
    adata, _ = few
    for plot in PLOTS:
        draw = getattr(ps.pl, plot)
        with pytest.raises(KeyError, match=r"no 'gaps': call `ps.ev.gap_closed` first"):
            draw(adata, "gaps")
        with pytest.raises(ValueError, match="`summary`='mode' must be one of"):
            draw(adata, summary="mode")
        with pytest.raises(ValueError, match=r"it is no table of `ps.ev.gap_closed`"):
            draw(adata, "ceiling")
    with pytest.raises(ValueError, match="`axes` holds 1 Axes for 2 combinations"):
        ps.pl.unseen_scores(adata, axes=[plt.gca()])
    bounds = scored_screen({"no_change": 0.0})
    with contextlib.redirect_stdout(io.StringIO()):
        ps.ev.gap_closed(bounds, ceiling=None)
    with pytest.raises(ValueError, match="holds only bounds"):
        ps.pl.unseen_scores(bounds)
    floor, _ = judged(2, ("x",), ceiling=None)
    with pytest.raises(ValueError, match=r"has no gap: give `ps.ev.gap_closed` a `ceiling`"):
        ps.pl.gap_closed(floor)


# -- embedding_similarity ------------------------------------------------------------------------


def compared(n: int):
    """Screen with pairs of embeddings that know the same."""
    rng = np.random.default_rng(0)
    adata = effect_screen(60)
    index = table_of(adata, "true").index
    adata.uns["pertscope"]["perturbation_embeddings"].clear()
    modality = {}
    for i in range(n):
        kind = KINDS[i % 6]
        shared = np.random.default_rng(i % 6).normal(size=(60, 4))
        table = pd.DataFrame(shared + 0.3 * rng.normal(size=(60, 4)), index=index)
        add(adata, table, f"{kind}_embedding_{i}")
        modality[f"{kind}_embedding_{i}"] = kind
    ps.ev.embedding_similarity(adata)
    return adata, modality


@pytest.mark.parametrize("n", [2, 5, 30])
def test_similarity_can_be_read(n, monkeypatch) -> None:
    adata, modality = compared(n)
    ax = ps.pl.embedding_similarity(adata, modality=modality)
    boxes = written(ax.figure, monkeypatch)
    turned = [t for t in boxes if t.get_rotation() == 90]  # their boxes cross, they do not
    assert len(turned) == n
    upright = {t: b for t, b in boxes.items() if t not in turned}
    assert overlapping(upright) == []
    assert outside(ax.figure, boxes) == []


def test_similarity() -> None:
    adata, modality = compared(12)
    ax = ps.pl.embedding_similarity(adata, modality=modality)
    names = ticks(ax)
    assert names == [t.get_text() for t in ax.get_xticklabels()]
    kinds = [modality[n] for n in names]
    assert all(a == b for a, b in zip(kinds[::2], kinds[1::2], strict=True))  # side by side
    table = adata.uns["embedding_similarity"].astype({"first": str, "second": str})
    image = ax.images[0].get_array()
    for _, row in table.iterrows():
        i, j = names.index(row["first"]), names.index(row["second"])
        assert image[i, j] == image[j, i] == row["similarity"]
    assert np.diag(image).tolist() == [1] * 12
    assert f"(by chance {table['chance'].mean():.2f})" in ax.get_xlabel()
    strips = [child for child in ax.child_axes if len(child.patches) == 12]
    for strip in strips:
        colors = [to_hex(p.get_facecolor()) for p in strip.patches]
        assert colors == [to_hex(COLORS[KINDS.index(kind)]) for kind in kinds]
    assert len(strips) == 2
    tree = next(child for child in ax.child_axes if child.lines)
    assert len(tree.lines) == 11


def test_similarity_with_pairs_that_share_nothing() -> None:
    adata, _ = compared(4)
    table = adata.uns["embedding_similarity"]
    table.loc[table.index[0], ["similarity", "chance"]] = np.nan
    _, mine = plt.subplots()
    assert ps.pl.embedding_similarity(adata, ax=mine) is mine
    assert mine.images[0].get_array().mask.sum() == 2
    table["similarity"] = np.nan
    with pytest.raises(ValueError, match="no two embeddings share enough"):
        ps.pl.embedding_similarity(adata)
    with pytest.raises(KeyError, match=r"call `ps.ev.embedding_similarity` first"):
        ps.pl.embedding_similarity(effect_screen(10))
