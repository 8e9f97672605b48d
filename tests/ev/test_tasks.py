"""Tasks as data: all that are shipped are sound, and one's own are ten lines of YAML."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from tests.ev.public_screens import means_of
from tests.helpers import make_screen

import pertscope as ps
from pertscope.datasets import _registry
from pertscope.ev._evaluator import Evaluator
from pertscope.ev._metrics import full_names
from pertscope.ev._tasks import TASKS, read_tasks

if TYPE_CHECKING:
    from pathlib import Path

NAMES = list(read_tasks())


@pytest.mark.parametrize("name", NAMES)
def test_shipped_tasks_name_only_what_exists(name) -> None:
    task = read_tasks()[name]
    task.check()
    assert isinstance(task.dataset, dict) or task.dataset in ps.datasets.names()
    assert task.folder == TASKS.parent
    assert task.split_name.startswith("split_")
    for step, arguments in task.steps:
        inspect.signature(getattr(ps.pp, step)).bind(None, **arguments)
        assert arguments.get("seed", 0) == 0
    assert set(task.metrics) <= set(full_names())
    assert set(task.options) <= set(inspect.signature(ps.ev.evaluate).parameters)
    public = _registry.read_registry().get(task.dataset_name)
    covariates = (task.screen if public is None else public.screen)["covariate_keys"]
    for mapping in task.split.get("split_custom", {}).get("held_out", []):
        assert set(mapping) <= set(covariates)


def test_list_tasks() -> None:
    table = Evaluator.list_tasks()
    assert table.columns.tolist() == ["task", "dataset", "split", "asks"]
    assert table["task"].tolist() == NAMES
    assert table["asks"].str.len().min() > 10
    names = set(NAMES)
    assert {"norman19-combination", "srivatsan20-transfer", "frangieh21-coculture"} <= names
    assert {f"srivatsan20-imbalance-{level}" for level in ("low", "medium", "high")} <= names
    assert {f"mcfaline23-{size}" for size in ("small", "medium", "full")} <= names


SCREEN = "  screen: {perturbation_key: perturbation, covariate_keys: [cell_type]}\n"
OWN = f"""
my-task:
  asks: What does a knock-out do in another line?
  dataset: mine.h5ad
{SCREEN}  keep: {{cell_type: [x, y]}}
  prepare:
    - normalize: {{}}
  split:
    split_from_csv: {{path: split.csv}}
  metrics: [rmse_mean, rmse_rank_mean]
"""


@pytest.fixture
def own(tmp_path) -> Path:
    adata = make_screen(n_genes=8, counts=True, register=False, contexts=("x", "y", "z"))
    adata.write_h5ad(tmp_path / "mine.h5ad")
    held_out = {("x", "A"): "val", ("x", "B"): "test", ("y", "C"): "test", ("y", "D"): "test"}
    rows = [(c, p, held_out.get((c, p), "train")) for c in "xy" for p in "ABCD"]
    split = pd.DataFrame(rows, columns=["cell_type", "perturbation", "split"])
    split.to_csv(tmp_path / "split.csv", index=False)
    path = tmp_path / "tasks.yaml"
    path.write_text(OWN, encoding="utf-8")
    return path


def test_own_task(own) -> None:
    assert Evaluator.list_tasks(tasks=own)["task"].tolist() == ["my-task", *NAMES]
    task = Evaluator("my-task", tasks=own)
    assert repr(task).startswith("Evaluator('my-task'): What does a knock-out do")
    obs = task.screen.obs
    assert set(obs["cell_type"][obs["perturbation"] != "control"]) == {"x", "y"}
    assert (obs["perturbation"] == "control").sum() == 24  # all of them
    prediction = means_of(task.screen, 0.2)
    assert sorted(prediction.obs["perturbation"]) == ["B", "C", "D"]
    with pytest.warns(UserWarning, match="cannot be ranked"):  # B is alone in x
        scores = task.evaluate({"mine": prediction})
    assert scores["mean"].columns.tolist() == ["rmse_mean", "rmse_rank_mean"]
    assert scores["n_conditions"].loc["mine"].tolist() == [3, 2]


def test_own_task_goes_before_a_shipped_one(own) -> None:
    own.write_text(OWN.replace("my-task", "op3-transfer"), encoding="utf-8")
    table = Evaluator.list_tasks(tasks=own)
    assert table["task"].is_unique
    assert table["dataset"][table["task"] == "op3-transfer"].tolist() == ["mine.h5ad"]


def test_unknown_task() -> None:
    with pytest.raises(KeyError, match="'norman19-combo'; nearest: 'norman19-combination'"):
        Evaluator("norman19-combo")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("asks:", "ask:", "unknown field 'ask'; nearest: 'asks'"),
        ("  dataset: mine.h5ad\n", "", "lacks 'dataset'"),
        ("mine.h5ad", "norman91", "neither an .h5ad file nor a public screen; nearest: 'norm"),
        (SCREEN, "", "`screen` must hold the arguments of pp.register for mine.h5ad"),
        ("covariate_keys", "covariates", "no argument 'covariates'; nearest: 'covariate_keys'"),
        ("keep: {cell_type: [x, y]}", "keep: [x]", "`keep` must be a mapping"),
        ("normalize: {}", "normalise: {}", "no such step 'normalise'; nearest: 'normalize'"),
        ("normalize: {}", "split_transfer: {}", "`prepare`: pp has no such step 'split_transfer'"),
        ("normalize: {}", "normalize", "a step is one function with its arguments"),
        ("normalize: {}", "normalize: [1]", "arguments of normalize must be a mapping"),
        ("path: split.csv", "paht: split.csv", "no argument 'paht'; nearest: 'path'"),
        ("{path: split.csv}", "{}", "missing a required argument: 'path'"),
        ("split_from_csv", "normalize", "`split`: pp has no such step 'normalize'"),
        ("rmse_rank_mean]", "rmse_rnk_mean]", "nearest: 'rmse_rank_mean'"),
        ("[rmse_mean, rmse_rank_mean]", "rmse_mean", "takes a list"),
        ("  metrics:", "  options: {split: val}\n  metrics:", "may not set 'split'"),
        ("  metrics:", "  options: {compat: cell-eval}\n  metrics:", "cell-eval has no metric 'rm"),
        ("  metrics:", "  options: {n_comp: 5}\n  metrics:", "'n_comp'; nearest: 'n_components'"),
    ],
)  # fmt: skip
def test_malformed_tasks_say_what_is_wrong(own, old, new, match) -> None:
    assert old in OWN
    own.write_text(OWN.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=match):
        Evaluator("my-task", tasks=own)


@pytest.mark.parametrize("text", ["- a\n", "my-task: 3\n"])
def test_a_file_of_something_else(own, text) -> None:
    own.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"must map names|must be a mapping"):
        Evaluator("my-task", tasks=own)


@pytest.mark.parametrize(
    ("new", "error", "match"),
    [
        ("{cell_typ: [x]}", KeyError, "no column 'cell_typ'; nearest: 'cell_type'"),
        ("{cell_type: [w]}", ValueError, "leaves no cells; found"),
    ],
)
def test_keep_that_does_not_fit(own, new, error, match) -> None:
    own.write_text(OWN.replace("{cell_type: [x, y]}", new), encoding="utf-8")
    with pytest.raises(error, match=match):
        _ = Evaluator("my-task", tasks=own).screen
