"""The page and the tables beside it hold the scores of ps.ev.evaluate, and say how they came."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.cli.files import COLUMNS, FAST, Page, expected

import pertscope as ps
from pertscope.cli import main


@pytest.fixture(scope="module")
def everything(judged, folder) -> tuple[Page, pd.DataFrame, pd.DataFrame]:
    """Page, scores and conditions of a run with all defaults."""
    arguments = [str(folder / f"{n}.h5ad") for n in ("split", "cells", "means")]
    assert main(["evaluate", *arguments, *COLUMNS, "-o", str(folder / "all.html")]) == 0
    scores, conditions = (
        pd.read_csv(folder / f"all_{n}.csv", dtype={"prediction": str})
        for n in ("scores", "conditions")
    )
    return Page.read(folder / "all.html"), scores, conditions


def test_tables_are_those_of_evaluate(everything, judged) -> None:
    _, scores, conditions = everything
    want = expected(judged, ["cells", "means"])
    text = dict.fromkeys(want.uns["evaluation"].select_dtypes("category"), str)
    pd.testing.assert_frame_equal(
        conditions.astype(text),
        want.uns["evaluation"].reset_index(drop=True).astype(text),
        check_dtype=False,
        rtol=1e-5,
        atol=1e-8,
    )
    table = ps.get.scores(want)
    assert scores["metric"].unique().tolist() == table["mean"].columns.tolist()
    for _, row in scores.iterrows():
        for quantity in table.columns.get_level_values(0).unique():
            value = table[quantity].get(row["metric"], pd.Series(np.nan, table.index))
            np.testing.assert_allclose(
                row[quantity], value[row["prediction"]], rtol=1e-5, atol=1e-8
            )


def test_page_holds_the_scores_and_marks_the_best(everything) -> None:
    page, scores, _ = everything
    columns = ["prediction", "mean", "normalised", "interval", "floor", "ceiling", "n"]
    start = page.rows.index(columns) + 1
    n_predictions = scores["prediction"].nunique()
    blocks = [
        page.rows[i : i + 1 + n_predictions]
        for i in range(start, len(page.rows), 1 + n_predictions)
    ]
    assert [head.split(" ")[0] for (head,), *_ in blocks] == scores["metric"].unique().tolist()
    shown = [row for _, *rows in blocks for row in rows]
    for row, (_, want) in zip(shown, scores.iterrows(), strict=True):
        cells = dict(zip(columns, row, strict=True))
        assert cells["prediction"].removeprefix("★ ") == want["prediction"]
        for quantity in ("mean", "normalised", "ceiling"):
            value = want[quantity]
            assert cells[quantity] == ("—" if np.isnan(value) else f"{value + 0.0:.4g}")
        assert cells["n"] == str(want["n_conditions"])
        if np.isnan(want["floor"]):
            assert cells["floor"] == "—"
        else:
            value, guess = cells["floor"].split(" ")
            assert float(value) == pytest.approx(want["floor"], rel=1e-3)
            assert guess in {"no_change", "mean_effect", "permuted"}
    best = {head.split(" ")[0]: "★" in first[0] for (head,), first, *_ in blocks}
    rmse = scores[scores["metric"] == "rmse_mean"].set_index("prediction")["mean"]
    assert best["rmse_mean"] == (rmse["cells"] <= rmse["means"])
    assert not best["cosine_to_mean_effect"]  # neither is better
    assert not best["energy_distance_pca"]  # one only


def test_page_stands_alone(everything, folder) -> None:
    page, _, _ = everything
    text = (folder / "all.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:", text)
    assert "<script" not in text
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert len(page.pictures) == 4
    for picture in page.pictures:
        assert base64.b64decode(picture.split(",")[1]).startswith(b"\x89PNG")
    assert "Not drawn" not in page.text
    assert 'name="viewport"' in text


def test_page_says_what_was_judged_and_assumed(everything, judged) -> None:
    page, _, _ = everything
    facts = dict(row for row in page.rows if len(row) == 2)
    n_test = ps.get.conditions(judged).query("~is_control and split == 'test'").shape[0]
    assert facts["cells x genes"] == f"{judged.n_obs} x {judged.n_vars}"
    assert facts["conditions"] == f"60, judged: {n_test}"
    assert facts["control cells"] == "A: 40, B: 40, C: 40"
    for sentence in (
        "perturbation 'condition', control 'control', covariates 'cell_type'",
        "X was taken as log-normalised",
        "Judged: conditions with 'test' in 'split'",
        "one row each, its mean",
        "against the observed controls of the same covariates",
        "Floor: the best of the uninformed guesses",
        "Ceiling: one half of the cells",
        "'means' has not the cells, or not the control cells, for 'energy_distance_pca', 'mmd_rbf",
        f"'cells': judged by {n_test} conditions",
    ):
        assert sentence in page.text


def test_same_files_same_page(run, folder) -> None:
    arguments = ["split.h5ad", "means.h5ad", *COLUMNS, *FAST]
    assert run(*arguments, "-o", "a.html")[0] == run(*arguments, "-o", "b.html")[0] == 0
    first = (folder / "a.html").read_bytes()
    assert first.replace(b"a_", b"b_") == (folder / "b.html").read_bytes().replace(b"a_", b"b_")


def test_one_condition_has_no_ranks_and_no_similarities(run, folder, judged) -> None:
    rows = ps.get.prediction(judged, "means")
    rows[:1].copy().write_h5ad(folder / "one.h5ad")
    code, _, err = run("counts.h5ad", "one.h5ad", *COLUMNS, *FAST)
    assert code == 0
    assert "1 condition(s) cannot be ranked, each is the only one of its covariates" in err
    page = Page.read(folder / "report.html")
    assert "Not drawn: no prediction has two conditions of the same covariates" in page.text
    assert "Not drawn: no prediction has two conditions to compare with each other." in page.text
    assert "(one.h5ad): 1 condition, one row each, its mean." in page.text
    assert "'one': judged by 1 condition." in page.text
    assert page.rows[-1] == ["one", *["—"] * 5, "0"]  # the rank
    assert len(page.pictures) == 1


def test_first_known_rank_is_drawn(run, folder, judged) -> None:
    """A prediction of one condition beside a whole one: its points are missing, not the figure."""
    ps.get.prediction(judged, "means")[:1].copy().write_h5ad(folder / "one.h5ad")
    assert run("split.h5ad", "means.h5ad", "one.h5ad", *COLUMNS, *FAST, "--split", "all")[0] == 0
    assert "Not drawn" not in Page.read(folder / "report.html").text


def test_figures_have_text_of_one_size(everything) -> None:
    """The width on the page is that in inches, whatever the resolution of the picture."""
    page, _, _ = everything
    assert len(page.widths) == len(page.pictures)
    for picture, width in zip(page.pictures, page.widths, strict=True):
        png = base64.b64decode(picture.split(",")[1])
        with Image.open(io.BytesIO(png)) as opened:
            inches = opened.width / opened.info["dpi"][0]
        assert width == pytest.approx(96 * inches, abs=1)


def test_words_explain_what_the_table_has(everything, run, folder) -> None:
    page, _, _ = everything
    for word in ("normalised 0 is no better", "crowded_share share of conditions", "floor score"):
        assert word in page.text
    options = ["--metrics", "rmse_mean", "--no-floor", "--no-ceiling"]
    assert run("split.h5ad", "means.h5ad", *COLUMNS, *options)[0] == 0
    text = Page.read(folder / "report.html").text
    assert "interval 95 %" in text
    assert "0 is no better" not in text
    assert "crowded_share" not in text
