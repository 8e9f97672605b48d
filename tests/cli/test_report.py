"""The page and the tables beside it hold the scores of ps.ev.evaluate, and say how they came."""

from __future__ import annotations

import base64
import re

import numpy as np
import pandas as pd
import pytest
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
    shown = [r for r in page.rows if len(r) >= 7 and r[-1].isdigit()]
    assert len(shown) == len(scores)
    for row, (_, want) in zip(shown, scores.iterrows(), strict=True):
        name, mean = row[-7].removeprefix("★ "), row[-6]
        assert name == want["prediction"]
        assert mean == ("" if np.isnan(want["mean"]) else f"{want['mean'] + 0.0:.4g}")
        assert row[-1] == str(want["n_conditions"])
        assert row[-2] == (
            "" if np.isnan(want["normalised"]) else f"{want['normalised'] + 0.0:.4g}"
        )
        if not np.isnan(want["floor"]):
            value, guess = row[-4].split(" ")
            assert float(value) == pytest.approx(want["floor"], rel=1e-3)
            assert guess in {"no_change", "mean_effect", "permuted"}
    best = {r[0].split(" ")[0]: "★" in r[1] for r in shown if len(r) == 8}
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
    assert facts["conditions"] == f"60, of which {n_test} were judged"
    assert facts["control cells"] == "A: 40, B: 40, C: 40"
    for sentence in (
        "perturbation 'condition', control 'control', covariates 'cell_type'",
        "X was taken as log-normalised",
        "Judged: conditions with 'test' in 'split'",
        "one row each, their means",
        "against the observed controls of the same covariates",
        "Floor: the best of the uninformed guesses",
        "Ceiling: one half of the cells",
        "'means' holds no cells: left out 'energy_distance_pca', 'mmd_rbf_pca'",
        f"'cells': {n_test} of its conditions were judged",
    ):
        assert sentence in page.text


def test_same_files_same_page(run, folder) -> None:
    arguments = ["split.h5ad", "means.h5ad", *COLUMNS, *FAST]
    assert run(*arguments, "-o", "a.html")[0] == run(*arguments, "-o", "b.html")[0] == 0
    first = (folder / "a.html").read_bytes()
    assert first.replace(b"a_", b"b_") == (folder / "b.html").read_bytes().replace(b"a_", b"b_")


def test_figures_that_cannot_be_drawn_say_why(run, folder, judged) -> None:
    rows = ps.get.prediction(judged, "means")
    rows[:1].copy().write_h5ad(folder / "one.h5ad")
    assert run("counts.h5ad", "one.h5ad", *COLUMNS, "--metrics", "rmse_mean")[0] == 0
    page = Page.read(folder / "report.html")
    assert "Not drawn: 1 condition(s) cannot be compared with each other." in page.text
    assert len(page.pictures) == 1
