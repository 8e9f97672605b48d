"""Results are made once, kept at once, and belong to what they were made of."""

from __future__ import annotations

import json
import multiprocessing
import warnings
from functools import wraps
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.bench.small import TASK, count_fits
from tests.helpers import fingerprint, make_screen

import pertscope as ps
from pertscope.bench import _run
from pertscope.bench._store import claimed
from pertscope.models.interruption import TrainingInterruptedWarning

if TYPE_CHECKING:
    import anndata as ad

SEEDS = [0, 1]


def files(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def by_hand(seed: int, fit, **options) -> pd.Series:
    """Scores of a model without `ps.bench`."""
    screen = ps.ev.Evaluator(TASK, seed=seed).screen
    fit(screen)
    ps.ev.evaluate(screen, metrics=TASK["metrics"], **options)
    return ps.get.scores(screen)


def test_scores_are_those_of_evaluate(tmp_path) -> None:
    scores = ps.bench.run(TASK, "additive", seeds=SEEDS, results=tmp_path)
    assert set(scores["model"]) == {"additive", "floor", "ceiling"}
    for seed in SEEDS:
        table = by_hand(seed, ps.tl.fit_additive)
        here = scores[scores["seed"] == seed].set_index(["model", "metric"])["value"]
        for metric in TASK["metrics"]:
            wanted = [table.loc["additive", (q, metric)] for q in ("mean", "floor", "ceiling")]
            found = [here[row, metric] for row in ("additive", "floor", "ceiling")]
            assert found == pytest.approx(wanted, rel=1e-9)
    pd.testing.assert_frame_equal(ps.bench.read(tmp_path), scores)


def test_metrics_of_cells_are_taken_on_cells(tmp_path) -> None:
    metrics = ["rmse_mean", "half_energy_distance_pca"]
    task = TASK | {"metrics": metrics, "options": {"n_components": 5}}
    scores = ps.bench.run(task, "additive", seeds=[0], results=tmp_path, cells_per_condition=7)
    assert (scores["error"] == "").all()
    here = scores.set_index(["model", "metric"])["value"]
    screen = ps.ev.Evaluator(task, seed=0).screen
    model = ps.tl.fit_additive(screen)
    test = ps.get.conditions(screen).query("~is_control and split == 'test'")
    ps.tl.predict(screen, model, test, cells_per_condition=7, key_added="cells")
    ps.ev.evaluate(screen, metrics=metrics, n_components=5)
    table = ps.get.scores(screen)["mean"]
    of_means = table.loc["additive", "rmse_mean"]
    assert here["additive", "rmse_mean"] == pytest.approx(of_means, rel=1e-9)
    of_cells = table.loc["cells", "half_energy_distance_pca"]
    assert here["additive", "half_energy_distance_pca"] == pytest.approx(of_cells, rel=1e-6)
    assert here["ceiling"].notna().all()


def test_killed_and_resumed(tmp_path, monkeypatch) -> None:
    counts = count_fits(monkeypatch, "additive", "bilinear")
    counted = ps.tl.fit_bilinear

    def killed(*_, **__) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ps.tl, "fit_bilinear", killed)
    with pytest.raises(KeyboardInterrupt):
        ps.bench.run(TASK, ["additive", "bilinear"], seeds=[0], results=tmp_path)
    assert ps.bench.read(tmp_path)["model"].unique().tolist() == ["additive", "floor", "ceiling"]
    monkeypatch.setattr(ps.tl, "fit_bilinear", counted)
    scores = ps.bench.run(TASK, ["additive", "bilinear"], seeds=[0], results=tmp_path)
    assert counts == {"additive": 1, "bilinear": 1}
    assert scores["value"].notna().all()
    assert len(files(tmp_path)) == 4  # no claims, no halves of files


def test_interrupted_training_is_no_result(tmp_path, monkeypatch) -> None:
    """A network that is interrupted keeps its best weights so far: that is another model."""
    fit = ps.tl.fit_linear

    @wraps(fit)
    def interrupted(adata, **settings):
        warnings.warn("after 1 epoch", TrainingInterruptedWarning, stacklevel=1)
        return fit(adata, **settings)

    monkeypatch.setattr(ps.tl, "fit_linear", interrupted)
    how = {"seeds": [0], "results": tmp_path, "floor": False, "ceiling": False}
    ps.bench.run(TASK, "no_change", **how)
    with pytest.raises(KeyboardInterrupt):
        ps.bench.run(TASK, "linear", **how, max_epochs=1, accelerator="cpu")
    assert "linear" not in set(ps.bench.read(tmp_path)["model"])


def test_order_of_models_does_not_matter(tmp_path) -> None:
    names = ["no_change", "bilinear", "additive"]
    tables = [
        ps.bench.table(ps.bench.run(TASK, order, seeds=SEEDS, results=tmp_path / str(i)))
        for i, order in enumerate([names, names[::-1]])
    ]
    pd.testing.assert_frame_equal(*tables)
    pd.testing.assert_frame_equal(ps.bench.table(tmp_path / "0"), tables[0])
    assert files(tmp_path / "0") == files(tmp_path / "1")


def test_failing_model_is_noted_and_others_go_on(tmp_path, monkeypatch) -> None:
    n_tried = 0

    def fails(*_, **__) -> None:
        nonlocal n_tried
        n_tried += 1
        raise ValueError("the loss became nan")

    monkeypatch.setattr(ps.tl, "fit_bilinear", fails)
    models = ["bilinear", "additive"]
    with pytest.warns(UserWarning, match="bilinear .*failed, ValueError: the loss became nan"):
        scores = ps.bench.run(TASK, models, seeds=SEEDS, results=tmp_path)
    failed = scores[scores["model"] == "bilinear"]
    assert failed["error"].tolist() == ["ValueError: the loss became nan"] * 2
    assert failed["value"].isna().all()
    table = ps.bench.table(tmp_path)
    assert table["seeds", "failed"].to_dict() == {
        "additive": 0,
        "bilinear": 2,
        "floor": 0,
        "ceiling": 0,
    }
    assert table["seeds", "done"].tolist() == [2, 0, 2, 2]
    assert "| bilinear | failed | failed |" in ps.bench.to_text(tmp_path)
    with pytest.warns(UserWarning, match="failed"):
        ps.bench.run(TASK, models, seeds=SEEDS, results=tmp_path)
    assert n_tried == 2
    with pytest.warns(UserWarning, match="failed"):
        ps.bench.run(TASK, models, seeds=SEEDS, results=tmp_path, retry_failed=True)
    assert n_tried == 4


def test_changed_settings_and_tasks_are_done_anew(tmp_path, monkeypatch) -> None:
    counts = count_fits(monkeypatch, "bilinear")
    how = {"seeds": [0], "results": tmp_path, "floor": False, "ceiling": False}
    first = ps.bench.run(TASK, {"b": {"model": "bilinear", "ridge": 0.1}}, **how)
    second = ps.bench.run(TASK, {"b": {"model": "bilinear", "ridge": 5.0}}, **how)
    assert counts["bilinear"] == 2
    assert (first["value"] != second["value"]).any()
    with pytest.warns(UserWarning, match=r"1 result\(s\) of former settings.*: b"):
        pd.testing.assert_frame_equal(ps.bench.read(tmp_path), second)
    again = ps.bench.run(TASK, {"b": {"model": "bilinear", "ridge": 0.1}}, **how)
    assert counts["bilinear"] == 2
    pd.testing.assert_frame_equal(again, first)
    ps.bench.run(TASK | {"split": {"split_transfer": {"max_fraction": 0.3}}}, "bilinear", **how)
    assert counts["bilinear"] == 3
    ps.bench.run(TASK, {"another name": {"model": "bilinear", "ridge": 0.1}}, **how)
    assert counts["bilinear"] == 3
    monkeypatch.setattr(_run, "__version__", "99")
    ps.bench.run(TASK, {"b": {"model": "bilinear", "ridge": 0.1}}, **how)
    assert counts["bilinear"] == 4


def test_seeds_are_added_and_split_only_where_asked(tmp_path, monkeypatch) -> None:
    counts = count_fits(monkeypatch, "additive")
    for seeds in ([0], [0, 1]):
        own = ps.bench.run(TASK, "additive", seeds=seeds, results=tmp_path)
    assert counts["additive"] == 2
    assert own.groupby(["model", "metric"])["value"].nunique().min() == 2
    fixed = ps.bench.run(TASK, "additive", seeds=[0, 1], results=tmp_path / "f", split_seeds=False)
    of_model = fixed[fixed["kind"] == "model"]
    assert of_model.groupby("metric")["value"].nunique().max() == 1  # it draws nothing itself
    assert (fixed["kind"] == "floor").sum() == 2  # one split, one floor


def test_networks_take_the_seed_and_common_settings(tmp_path, monkeypatch) -> None:
    seen = []
    fit = ps.tl.fit_linear

    @wraps(fit)
    def spy(adata, **settings):
        seen.append({k: v for k, v in settings.items() if k != "on_epoch"})
        return fit(adata, **settings)

    monkeypatch.setattr(ps.tl, "fit_linear", spy)
    models = {
        "slow": {"model": "Linear", "lr": 0.01},
        "quick": {"model": "linear", "max_epochs": 1},
    }
    common = {"max_epochs": 2, "accelerator": "cpu"}
    scores = ps.bench.run(
        TASK, models, seeds=[3], results=tmp_path, floor=False, ceiling=False, **common
    )
    assert scores["value"].notna().all()
    shared = {"key_added": "model", "seed": 3, "accelerator": "cpu"}
    assert seen == [
        {**shared, "lr": 0.01, "max_epochs": 2},
        {**shared, "max_epochs": 1},
    ]


def test_predictions_made_elsewhere(tmp_path) -> None:
    for seed in SEEDS:
        screen = ps.ev.Evaluator(TASK, seed=seed).screen
        ps.tl.fit_additive(screen)
        ps.get.prediction(screen, "additive").write_h5ad(tmp_path / f"mine_{seed}.h5ad")
    models = {"theirs": str(tmp_path / "mine_{seed}.h5ad"), "ours": "additive"}
    scores = ps.bench.run(TASK, models, seeds=SEEDS, results=tmp_path / "r")
    wide = scores.pivot_table("value", ["seed", "metric"], "model")
    pd.testing.assert_series_equal(wide["theirs"], wide["ours"], check_names=False)
    assert ps.bench.table(tmp_path / "r").loc["theirs", ("seeds", "done")] == 2
    one = {"theirs": ps.get.prediction(screen, "additive")}
    with pytest.raises(ValueError, match="one prediction cannot serve 2 splits"):
        ps.bench.run(TASK, one, seeds=SEEDS, results=tmp_path / "r")


def predictions() -> tuple[ad.AnnData, ad.AnnData]:
    """Two predictions of the same conditions of the task's own split."""
    screen = ps.ev.Evaluator(TASK).screen
    return ps.tl.fit_additive(screen).predict(), ps.tl.fit_no_change(screen).predict()


def test_predictions_in_memory_side_by_side(tmp_path) -> None:
    mine, theirs = predictions()
    how = {"seeds": [0], "split_seeds": False, "results": tmp_path, "floor": False}
    scores = ps.bench.run(TASK, {"mine": mine, "theirs": theirs}, **how)
    values = scores[scores["metric"] == "rmse_mean"].set_index("model")["value"]
    assert values["mine"] != values["theirs"]
    with pytest.raises(ValueError, match="'mine' and 'again' have the same settings or prediction"):
        ps.bench.run(TASK, {"mine": mine, "theirs": theirs, "again": mine.copy()}, **how)


@pytest.mark.parametrize("as_file", [False, True])
def test_replaced_prediction_is_not_averaged_with_the_old(tmp_path, as_file) -> None:
    how = {"split_seeds": False, "results": tmp_path / "r", "floor": False, "ceiling": False}
    for prediction, seeds in zip(predictions(), (SEEDS, [0]), strict=True):
        given = tmp_path / "mine.h5ad" if as_file else prediction
        if as_file:
            prediction.write_h5ad(given)
        scores = ps.bench.run(TASK, {"mine": given}, seeds=seeds, **how)
    with pytest.warns(UserWarning, match=r"2 result\(s\) of former settings.*: mine"):
        pd.testing.assert_frame_equal(ps.bench.read(tmp_path / "r"), scores)


def test_files_of_seeds_that_moved_or_changed(tmp_path) -> None:
    """Files of one pattern belong together; those of another are others."""
    how = {"split_seeds": False, "results": tmp_path / "r", "floor": False, "ceiling": False}
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        for seed, prediction in enumerate(predictions()):
            prediction.write_h5ad(tmp_path / folder / f"{seed}.h5ad")
    mine = {"mine": str(tmp_path / "old" / "{seed}.h5ad")}
    ps.bench.run(TASK, mine, seeds=[0], **how)
    moved = {"mine": str(tmp_path / "new" / "{seed}.h5ad")}
    scores = ps.bench.run(TASK, moved, seeds=SEEDS, **how)
    pd.testing.assert_frame_equal(ps.bench.read(tmp_path / "r"), scores)
    changed = predictions()[1]
    changed.X = changed.X * 1.01
    changed.write_h5ad(tmp_path / "old" / "1.h5ad")
    other = ps.bench.run(TASK, mine, seeds=[1], **how)
    with pytest.warns(UserWarning, match=r"2 result\(s\) of former settings.*: mine"):
        pd.testing.assert_frame_equal(ps.bench.read(tmp_path / "r"), other)


@pytest.mark.parametrize(
    "other", [{"split_seeds": False}, {"cells_per_condition": 7}, {"version": "99"}]
)
def test_runs_that_cannot_be_compared_are_not_read_together(tmp_path, monkeypatch, other) -> None:
    how = {"seeds": [3], "results": tmp_path, "floor": False, "ceiling": False}
    ps.bench.run(TASK, "additive", **how)
    if "version" in other:
        monkeypatch.setattr(_run, "__version__", other.pop("version"))
    scores = ps.bench.run(TASK, "bilinear", **how, **other)
    with pytest.warns(UserWarning, match=r"1 result\(s\) of former settings.*: additive"):
        pd.testing.assert_frame_equal(ps.bench.read(tmp_path), scores)


def test_held_out_contexts_have_floor_and_ceiling(tmp_path) -> None:
    screen = make_screen(list("ABCDEF"), contexts="wxyz", n_cells=8, n_genes=20)
    task = TASK | {"dataset": screen, "split": {"split_contexts": {}}, "metrics": ["rmse_mean"]}
    scores = ps.bench.run(task, "additive", seeds=[0], results=tmp_path)
    bounds = scores[scores["kind"] != "model"]
    assert bounds["kind"].tolist() == ["floor", "ceiling"]
    assert bounds["error"].tolist() == ["", ""]
    assert bounds["value"].notna().all()


def test_screen_in_memory_or_in_a_file(tmp_path) -> None:
    screen = TASK["dataset"]
    before = fingerprint(screen)
    how = {"seeds": [0], "results": tmp_path / "r"}
    scores = ps.bench.run(TASK, "additive", **how)
    assert fingerprint(screen) == before
    screen.write_h5ad(tmp_path / "mine.h5ad")
    keys = {"covariate_keys": ["cell_type"]}
    task = TASK | {"name": "file", "dataset": str(tmp_path / "mine.h5ad"), "screen": keys}
    of_file = ps.bench.run(task, "additive", **how)
    np.testing.assert_allclose(of_file["value"], scores["value"], rtol=1e-6)
    assert of_file["dataset"].iloc[0].endswith("mine.h5ad")


def test_nested_scenario_shares_floor_and_test(tmp_path) -> None:
    levels = [
        TASK
        | {"name": f"level-{f}", "scenario": "scaling"}
        | {"subsample": {"fraction": f, "of": "cells"}}
        for f in (0.25, 1.0)
    ]
    scores = ps.bench.run(levels, "additive", seeds=SEEDS, results=tmp_path)
    table = ps.bench.table(scores)
    assert table.index.get_level_values("task").unique().tolist() == ["level-0.25", "level-1.0"]
    ceiling = table.xs("ceiling", level="model")["rmse_mean", "mean"]
    assert ceiling.iloc[0] == ceiling.iloc[1]
    additive = table.xs("additive", level="model")["rmse_mean", "mean"]
    assert additive.iloc[0] > additive.iloc[1]
    sizes = scores.groupby("task")["train_cells"].first()
    assert sizes.iloc[0] == sizes.iloc[1] / 4


def test_tasks_of_a_file(tmp_path) -> None:
    TASK["dataset"].write_h5ad(tmp_path / "mine.h5ad")
    keys = {"covariate_keys": ["cell_type"]}
    fields = TASK | {"asks": "?", "dataset": "mine.h5ad", "screen": keys}
    del fields["name"]
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump({"a": fields, "b": fields}), encoding="utf-8")
    scores = ps.bench.run(path, "no_change", seeds=[0], results=tmp_path / "r", ceiling=False)
    assert scores["task"].unique().tolist() == ["a", "b"]


def _run_it(folder: str) -> None:
    warnings.simplefilter("error")
    ps.bench.run(TASK, ["additive", "bilinear", "no_change"], seeds=[0, 1, 2], results=folder)


def test_two_processes_share_a_folder(tmp_path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_run_it, args=(str(tmp_path),)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0, 0]
    assert len(files(tmp_path)) == 3 * 5
    assert ps.bench.table(tmp_path)["seeds", "done"].tolist() == [3] * 5
    assert {json.loads(p.read_text())["error"] for p in tmp_path.iterdir()} == {None}


def test_what_another_works_on_is_left_to_it(tmp_path, monkeypatch) -> None:
    counts = count_fits(monkeypatch, "additive")
    how = {"seeds": [0], "floor": False, "ceiling": False}
    ps.bench.run(TASK, "additive", results=tmp_path / "other", **how)
    (done,) = (tmp_path / "other").iterdir()
    folder = tmp_path / "shared"
    folder.mkdir()
    waited = []

    with claimed(folder, done.stem) as ours:
        assert ours

        def finish(seconds: float) -> None:
            waited.append(seconds)
            (folder / done.name).write_text(done.read_text())

        monkeypatch.setattr(_run.time, "sleep", finish)
        with claimed(folder, done.stem) as second:
            assert not second
        scores = ps.bench.run(TASK, "additive", results=folder, **how)
    assert counts["additive"] == 1
    assert len(waited) == 1
    assert scores["value"].notna().all()


@pytest.mark.parametrize(
    ("models", "settings", "error", "match"),
    [
        ([], {}, ValueError, "`models` is empty"),
        ("additiv", {}, ValueError, "there is no 'additiv'; nearest: 'additive'"),
        ({"a": {"model": "bilinear", "rigde": 1}}, {}, ValueError, "'rigde'; nearest: 'ridge'"),
        ("linear", {"max_epoch": 3}, ValueError, "'max_epoch'; nearest: 'max_epochs'"),
        ({"a": "additive", "b": "additive"}, {}, ValueError, "'a' and 'b' have the same settings"),
        ({"floor": "additive"}, {}, ValueError, "cannot be called 'floor'"),
        ({"a": 3}, {}, TypeError, "expected the name of a model"),
        ({"a": {"model": "bilinear", "ridge": {1}}}, {}, TypeError, "no plain value"),
        ("additive", {"seeds": []}, ValueError, "`seeds` is empty"),
        ("linear", {"checkpoint": "f"}, ValueError, "'linear': `checkpoint` is for one training"),
        ({"a": {"model": "cpa", "checkpoint": "f"}}, {}, ValueError, "'a': `checkpoint` is for"),
    ],
)
def test_refused_before_anything_is_done(tmp_path, models, settings, error, match) -> None:
    with pytest.raises(error, match=match):
        ps.bench.run(TASK, models, results=tmp_path / "r", **settings)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("task", "error", "match"),
    [
        ("norman19-combo", KeyError, "nearest: 'norman19-combination'"),
        ({k: v for k, v in TASK.items() if k != "name"}, ValueError, "needs a `name`"),
        (TASK | {"subsample": {"fractoin": 1}}, ValueError, "nearest: 'fraction'"),
        (TASK | {"scenario": "scale"}, ValueError, "`scenario` 'scale' must be one of"),
        (TASK | {"dataset": {"make_screen": {}}}, ValueError, "made by 'simulate_screen'"),
        (3, TypeError, "a task is the name of one"),
    ],
)
def test_tasks_that_are_none(tmp_path, task, error, match) -> None:
    with pytest.raises(error, match=match):
        ps.bench.run(task, "additive", results=tmp_path)


def test_folder_without_results(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no results"):
        ps.bench.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ps.bench.read(tmp_path / "no")
