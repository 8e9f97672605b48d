"""What networks take beside the matrix reaches them, and results belong to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from tests.bench.small import TASK, count_fits

import pertscope as ps

if TYPE_CHECKING:
    from anndata import AnnData


def embedded() -> tuple[dict[str, Any], AnnData]:
    """The tiny task on a screen with a representation of its cells, and vectors."""
    screen = TASK["dataset"].copy()
    rng = np.random.default_rng(0)
    screen.obsm["X_rep"] = rng.normal(size=(screen.n_obs, 3))
    screen.obsm["X_other"] = rng.normal(size=(screen.n_obs, 2))
    for name in ("random", "other"):
        vectors = pd.DataFrame(rng.normal(size=(12, 3)), index=list("ABCDEFGHIJKL"))
        ps.pp.add_perturbation_embedding(screen, vectors, name)
    return TASK | {"dataset": screen}, screen


@pytest.mark.filterwarnings("ignore:a row of the prediction has:UserWarning")  # hardly trained
def test_networks_take_representations_and_embeddings(tmp_path) -> None:
    task, screen = embedded()
    inputs = {"use_rep": "X_rep", "perturbation_embedding": "random"}
    how = {"max_epochs": 1, "n_hidden": 4, "accelerator": "cpu"}
    models = {"net": {"model": "latent_additive", **inputs, **how}}
    scores = ps.bench.run(task, models, seeds=[0], results=tmp_path, floor=False, ceiling=False)
    assert (scores["error"] == "").all()
    drawn = ps.ev.Evaluator(task, seed=0)
    other = drawn.screen.copy()
    model = ps.tl.fit_latent_additive(other, **inputs, **how)
    table = drawn.evaluate({"net": model.predict()}, floor=False, ceiling=False)
    wanted = [table.loc["net", ("mean", metric)] for metric in TASK["metrics"]]
    found = scores.set_index("metric")["value"][TASK["metrics"]]
    assert found.tolist() == pytest.approx(wanted, rel=1e-9)
    assert "X_other" in screen.obsm


@pytest.mark.parametrize("as_table", [False, True])
def test_changed_inputs_are_taken_anew(tmp_path, monkeypatch, as_table) -> None:
    """Those that a model takes: others change nothing."""
    task, screen = embedded()
    if as_table:
        screen.obsm["X_rep"] = pd.DataFrame(screen.obsm["X_rep"], screen.obs_names).add_prefix("d")
    counts = count_fits(monkeypatch, "latent_additive")
    inputs = {"use_rep": "X_rep", "perturbation_embedding": "random"}
    net = {"model": "latent_additive", "n_hidden": 4, "max_epochs": 1, "accelerator": "cpu"}
    how = {"seeds": [0], "results": tmp_path, "floor": False, "ceiling": False}

    def run() -> int:
        ps.bench.run(task, {"net": net | inputs}, **how)
        return counts["latent_additive"]

    assert run() == 1
    screen.obsm["X_other"] = screen.obsm["X_other"] + 1
    vectors = pd.DataFrame(np.eye(12), index=list("ABCDEFGHIJKL"))
    ps.pp.add_perturbation_embedding(screen, vectors, "other")
    assert run() == 1
    screen.obsm["X_rep"] = screen.obsm["X_rep"] + 1
    assert run() == 2
    ps.pp.add_perturbation_embedding(screen, vectors, "random")
    assert run() == 3
    ps.pp.add_perturbation_embedding(screen, vectors, "random", combine="mean")
    assert run() == 4
    assert run() == 4


def test_no_embedding_and_several(tmp_path, monkeypatch) -> None:
    task, screen = embedded()
    counts = count_fits(monkeypatch, "context_mlp")
    net = {"model": "context_mlp", "max_epochs": 1, "accelerator": "cpu"}
    how = {"seeds": [0], "results": tmp_path, "floor": False, "ceiling": False}

    def run(names: list[str] | None) -> int:
        models = {"net": net | {"perturbation_embedding": names}}
        assert (ps.bench.run(task, models, **how)["error"] == "").all()
        return counts["context_mlp"]

    assert run(None) == 1
    assert run(["random", "other"]) == 2
    assert run(["random", "other"]) == 2
    vectors = pd.DataFrame(np.eye(12), index=list("ABCDEFGHIJKL"))
    ps.pp.add_perturbation_embedding(screen, vectors, "other")
    assert run(None) == 2
    assert run(["random", "other"]) == 3


@pytest.mark.parametrize("as_file", [False, True])
def test_changed_vectors_of_a_step_are_taken_anew(tmp_path, monkeypatch, as_file) -> None:
    counts = count_fits(monkeypatch, "additive")
    how = {"seeds": [0], "results": tmp_path / "r", "floor": False, "ceiling": False}
    for fill, fits in ((1.0, 1), (1.0, 1), (2.0, 2)):
        names = [*"ABCDEFGHIJKL", *map(str, range(100))]
        table = pd.DataFrame(np.ones((len(names), 3)), index=names)
        table.loc["50"] = fill  # what is printed of it stays as it is
        if as_file:
            table.to_csv(tmp_path / "table.csv")
            table = str(tmp_path / "table.csv")
        step = {"add_perturbation_embedding": {"table": table, "name": "given"}}
        ps.bench.run(TASK | {"prepare": [step]}, "additive", **how)
        assert counts["additive"] == fits
