"""What `pertscope evaluate` takes for granted, what it can be told, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from tests.cli.files import COLUMNS, FAST, Page, expected

import pertscope as ps
from pertscope.cli import main

# -- what is taken for granted ---------------------------------------------------------------------


def test_counts_are_normalised_and_all_is_judged_without_a_split(run, judged, folder) -> None:
    code, out, err = run("counts.h5ad", "means.h5ad", *COLUMNS, *FAST)
    assert (code, err) == (0, "")
    page = Page.read(folder / "report.html")
    assert "X held counts: they were normalised to 10,000 per cell" in page.text
    assert "There is no column 'split': all predicted conditions were judged" in page.text
    assert "the guess mean_effect is made of the judged conditions" in page.text
    bare = judged.copy()
    del bare.obs["split"]
    table = ps.get.scores(
        expected(bare, ["means"], metrics=["rmse_mean", "rmse_rank_mean"], split=None)
    )
    scores = pd.read_csv(folder / "report_scores.csv").set_index("metric")
    np.testing.assert_allclose(scores["mean"], table["mean"].loc["means"], rtol=1e-6)
    np.testing.assert_allclose(scores["floor"], table["floor"].loc["means"], rtol=1e-6)
    assert f"{table['mean'].loc['means', 'rmse_mean']:.4g}" in out
    assert out.split()[-3:] == ["report.html", "report_scores.csv", "report_conditions.csv"]


@pytest.mark.parametrize("part", ["val", "all"])
def test_part(run, folder, judged, part) -> None:
    assert run("split.h5ad", "means.h5ad", *COLUMNS, *FAST, "--split", part)[0] == 0
    table = pd.read_csv(folder / "report_conditions.csv")
    parts = ps.get.conditions(judged).query("~is_control")
    of_means = parts[parts["split"].isin(["val", "test"])]  # what was predicted
    want = of_means if part == "all" else of_means[of_means["split"] == part]
    rows = table[table["metric"] == "rmse"][["cell_type", "perturbation"]]
    found = set(rows.itertuples(index=False, name=None))
    assert found == set(want[["cell_type", "condition"]].itertuples(index=False, name=None))


def test_registered_file_needs_no_options_and_its_old_scores_are_not_shown(
    run, folder, judged
) -> None:
    old = expected(judged, ["cells"], metrics=["mae_mean"])
    old.write_h5ad(folder / "registered.h5ad")
    assert run("registered.h5ad", "means.h5ad", *FAST, "--no-floor", "--no-ceiling")[0] == 0
    page = Page.read(folder / "report.html")
    assert "Columns as registered in the file: perturbation 'condition'" in page.text
    assert "No floor was computed. No ceiling was computed." in page.text
    scores = pd.read_csv(folder / "report_scores.csv")
    assert scores["prediction"].unique().tolist() == ["means"]
    assert scores["metric"].tolist() == ["rmse_mean", "rmse_rank_mean"]
    assert not {"floor", "ceiling", "normalised"} & set(scores.columns)


def test_names_are_shown_as_they_are(run, folder) -> None:
    names = ["--name", "<b>bold", "R&D"]
    assert run("split.h5ad", "means.h5ad", "cells.h5ad", *COLUMNS, *FAST, *names)[0] == 0
    page = Page.read(folder / "report.html")
    assert "b" not in page.inside
    assert "Prediction '<b>bold' (means.h5ad)" in page.text
    assert "<b>bold" not in (folder / "report.html").read_text(encoding="utf-8")
    scores = pd.read_csv(folder / "report_scores.csv")
    assert scores["prediction"].unique().tolist() == ["<b>bold", "R&D"]


def test_layer_and_separator(run, folder, judged) -> None:
    adata = judged.copy()
    adata.layers["logged"] = adata.X.copy()
    adata.X = np.expm1(adata.X)
    adata.uns.clear()
    adata.write_h5ad(folder / "layered.h5ad")
    options = ["--layer", "logged", "--combination-separator", "none"]
    assert run("layered.h5ad", "means.h5ad", *COLUMNS, *FAST, *options)[0] == 0
    page = Page.read(folder / "report.html")
    assert "layer 'logged' was taken as log-normalised" in page.text
    assert "no combinations" in page.text
    table = ps.get.scores(expected(judged, ["means"], metrics=["rmse_mean"]))
    scores = pd.read_csv(folder / "report_scores.csv")
    assert scores["mean"][0] == pytest.approx(table["mean"].loc["means", "rmse_mean"], rel=1e-6)


def test_profiles(run, folder, judged) -> None:
    """Values below zero: no fold changes, and the page says so."""
    adata = judged.copy()
    adata.X = (adata.X.toarray() - 4).astype(np.float32)
    prediction = ps.get.prediction(judged, "means").copy()
    prediction.X = prediction.X - 4
    adata.uns.clear()
    adata.write_h5ad(folder / "profiles.h5ad")
    prediction.write_h5ad(folder / "predicted_profiles.h5ad")
    options = [*COLUMNS, "--no-ceiling"]
    assert run("profiles.h5ad", "predicted_profiles.h5ad", *options)[0] == 0
    page = Page.read(folder / "report.html")
    assert "holds negative values" in page.text
    assert "effects were judged instead" in page.text
    metrics = pd.read_csv(folder / "report_scores.csv")["metric"]
    assert "cosine_rank_effect" in set(metrics)


def test_compat(run, folder, judged) -> None:
    options = [*COLUMNS, "--compat", "cell-eval", "--against", "observed", "--no-ceiling"]
    assert run("split.h5ad", "means.h5ad", *options)[0] == 0
    page = Page.read(folder / "report.html")
    assert "conventions are those of cell-eval" in page.text
    assert "against the observed controls" in page.text
    table = ps.get.scores(
        expected(judged, ["means"], compat="cell-eval", control="observed", ceiling=False)
    )
    scores = pd.read_csv(folder / "report_scores.csv").set_index("metric")
    np.testing.assert_allclose(scores["mean"], table["mean"].loc["means"], rtol=1e-5, atol=1e-8)
    assert "not the control cells, for 'pearson_edistance_compat'" in page.text


# -- what goes wrong -------------------------------------------------------------------------------


def test_warnings_are_on_the_page_and_on_stderr(run, folder, judged) -> None:
    means = ps.get.prediction(judged, "means")
    test = ps.get.conditions(judged).query("~is_control and split == 'test'").index
    label = means.obs["cell_type"].astype(str) + "|" + means.obs["condition"].astype(str)
    means[(label != test[0]).to_numpy()].copy().write_h5ad(folder / "part.h5ad")
    code, _, err = run("split.h5ad", "part.h5ad", *COLUMNS, "--metrics", "rmse_mean")
    assert code == 0
    said = f"prediction 'part' lacks 1 of {len(test)} conditions"
    assert err.startswith(f"pertscope: warning: {said}")
    assert said in Page.read(folder / "report.html").text


REFUSED = {
    "no screen": (["no.h5ad", "means.h5ad"], "there is no file no.h5ad"),
    "no prediction": (["split.h5ad", "no.h5ad", *COLUMNS], "there is no file no.h5ad"),
    "no h5ad": (["notes.txt", "means.h5ad"], "notes.txt is no .h5ad file that can be read"),
    "no column": (
        ["split.h5ad", "means.h5ad", "--perturbation-key", "conditoin"],
        "split.h5ad: `.obs` has no column 'conditoin'; nearest: 'condition'",
    ),
    "no control": (
        ["split.h5ad", "means.h5ad", *COLUMNS, "--control", "DMSO"],
        "split.h5ad: `.obs['condition']` has no control label 'DMSO'",
    ),
    "no layer": (["split.h5ad", "means.h5ad", *COLUMNS, "--layer", "logged"], "no 'logged'"),
    "genes": (["split.h5ad", "genes.h5ad", *COLUMNS], "genes.h5ad: the prediction lacks 3 of the"),
    "prediction's column": (
        ["split.h5ad", "column.h5ad", *COLUMNS],
        "column.h5ad: the prediction's `.obs` has no column 'cell_type'",
    ),
    "metric": (
        ["split.h5ad", "means.h5ad", *COLUMNS, "--metrics", "rmse_maen"],
        "unknown metric 'rmse_maen'; nearest: 'rmse_mean'",
    ),
    "no split": (
        ["counts.h5ad", "means.h5ad", *COLUMNS, "--split", "test"],
        "`.obs` has no split 'split'",
    ),
    "too few names": (
        ["split.h5ad", "means.h5ad", "cells.h5ad", *COLUMNS, "--name", "a"],
        "--name gives 1 name(s) for 2 prediction(s)",
    ),
    "same name": (["split.h5ad", "means.h5ad", "means.h5ad"], "'means' twice: tell them by --name"),
    "no folder": (["split.h5ad", "means.h5ad", *COLUMNS, "-o", "no/a.html"], "there is no folder"),
    "own controls": (
        ["split.h5ad", "means.h5ad", *COLUMNS, "--compat", "cell-eval"],
        "brought no controls of its own: add rows labelled 'control' to it, or use --against",
    ),
    "only cells' metrics": (
        ["split.h5ad", "means.h5ad", *COLUMNS, "--metrics", "wasserstein_pca"],
        "there is nothing to score",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_refusals_are_one_line(run, folder, judged, case) -> None:
    means = ps.get.prediction(judged, "means")
    means[:, 3:].copy().write_h5ad(folder / "genes.h5ad")
    column = means.copy()
    del column.obs["cell_type"]
    column.write_h5ad(folder / "column.h5ad")
    (folder / "notes.txt").write_text("no screen")
    (folder / "report.html").unlink(missing_ok=True)
    arguments, message = REFUSED[case]
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("pertscope: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("arguments", [[], ["evaluate"], ["evaluate", "a", "b", "--split", "tst"]])
def test_usage(arguments, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: pertscope" in capsys.readouterr().err


def test_help_says_that_files_are_read_whole(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--help"])
    assert stopped.value.code == 0
    assert "read into memory whole" in capsys.readouterr().out


def test_module_is_the_command(judged, folder) -> None:
    arguments = ["evaluate", "split.h5ad", "means.h5ad", *COLUMNS, "--metrics", "rmse_mean"]
    command = [sys.executable, "-m", "pertscope", *arguments, "--no-ceiling", "-o", "module.html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rmse_mean" in done.stdout
    assert Page.read(folder / "module.html").pictures
