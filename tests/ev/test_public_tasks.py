"""Every task on a public screen, from its file to its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.ev.public_screens import PUT, Shelf, cells_of

import pertscope as ps
from pertscope.ev._metrics import higher_is_better
from pertscope.ev._tasks import read_tasks

if TYPE_CHECKING:
    import anndata as ad

TASKS = [name for name, task in read_tasks().items() if task.dataset_name in PUT]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Shelf:
    shelf = Shelf(tmp_path_factory.mktemp("public"))
    for put in PUT.values():
        put(shelf)
    return shelf


def exchanged(cells: ad.AnnData, key: str) -> ad.AnnData:
    """The same cells, each under the name of the next perturbation of its covariates."""
    wrong = cells.copy()
    covariates = [k for k in cells.obs if k != key]
    for _, labels in cells.obs.groupby(covariates)[key]:
        names = sorted(labels.unique())
        following = dict(zip(names, names[1:] + names[:1], strict=True))
        wrong.obs.loc[labels.index, key] = labels.map(following)
    return wrong


def test_the_papers_tasks_are_all_there() -> None:
    assert len(TASKS) == 11


@pytest.mark.parametrize("name", TASKS)
def test_perfect_predictions_have_perfect_scores(shelf, name) -> None:
    task = shelf.task(name)
    perfect = cells_of(task.screen)
    key = ps.get.screen(task.screen).screen.perturbation_key
    predictions = {"right": perfect}
    if not name.startswith("srivatsan20"):  # of many conditions, and the metrics are the same
        predictions["wrong"] = exchanged(perfect, key)
    scores = task.evaluate(predictions, floor=False, ceiling=False)["mean"]
    assert scores.columns.tolist() == task.task.metrics
    assert np.isfinite(scores.to_numpy()).all()
    for metric in task.task.metrics:
        best = float(bool(higher_is_better(metric)))
        assert scores.loc["right", metric] == pytest.approx(best, abs=1e-5), metric
        if "wrong" in predictions:
            assert abs(scores.loc["wrong", metric] - best) > 0.01, metric


def test_labels_are_clean(shelf) -> None:
    compounds = set(shelf.task("srivatsan20-transfer").screen.obs["perturbation"])
    assert {"JQ1", "ENMD-2076", "Abexinostat (PCI-24781)"} <= compounds
    assert not any("+" in c for c in compounds)
    smiles = set(shelf.task("op3-transfer").screen.obs["perturbation"])
    assert {"control", "C/C=C\\C#N", "CC(=O)[O-].[Na+]", "C[N+](C)(C)C"} < smiles
    treatments = set(shelf.task("frangieh21-coculture").screen.obs["treatment"])
    assert treatments == {"none", "co-culture", "IFN\u03b3"}
    assert shelf.task("norman19-combination").screen.var_names.is_unique
