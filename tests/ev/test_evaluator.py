"""Evaluator: every shipped task runs on a small stand-in, and scores are those of evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from tests.ev.public_screens import PUT, Shelf, means_of, put_frangieh, put_norman
from tests.helpers import assert_sound_split, dense, fingerprint

import pertscope as ps
from pertscope.ev._tasks import read_tasks

if TYPE_CHECKING:
    import anndata as ad

NAMES = list(read_tasks())
FAST = ["rmse_mean", "cosine_rank_logfc"]


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.parametrize("dataset", list(PUT))
def test_screens_are_prepared_and_split(shelf, dataset) -> None:
    PUT[dataset](shelf)
    screens = {n: shelf.task(n).screen for n in NAMES if read_tasks()[n].dataset == dataset}
    assert screens
    for name, screen in screens.items():
        table = assert_sound_split(screen)
        assert not (dense(screen.X) == np.rint(dense(screen.X))).all(), "no log scale"
        held = table[table["split"].isin(["val", "test"]) & ~table["is_control"]]
        if name.startswith("srivatsan20"):
            dose = screen.obs["dose_value"][screen.obs["perturbation"] != "control"]
            assert set(dose) == {10000.0}
            assert held["perturbation"].is_unique  # seen in all other lines
            wanted = {"low": 0.1, "medium": 0.2}.get(name.rsplit("-", 1)[1])
            if wanted:
                assert ps.get.imbalance(screen) == pytest.approx(wanted, abs=0.01)
        if dataset == "norman19":
            assert held["perturbation"].str.contains("+", regex=False).all()
            assert len(held) == 7
        if dataset == "frangieh21":
            assert set(held["treatment"]) == {"co-culture"}
        if dataset == "jiang24":
            assert set(held["treatment"]) == {"IFNG", "INS", "TGFB"}
            assert set(held["cell_type"]) == {"k562", "mcf7", "ht29", "hap1"}
        if dataset == "op3":
            assert set(held["cell_type"]) == {"B cells", "Myeloid cells"}
            assert held["n_cells"].min() >= 100
    if dataset == "mcfaline23":
        held, states = zip(*(_parts(s) for s in screens.values()), strict=True)
        assert held[0] == held[1] == held[2]
        assert states == (6, 9, 15)


def _parts(screen: ad.AnnData) -> tuple[dict[str, str], int]:
    table = ps.get.conditions(screen).query("~is_control")
    held = table["split"][table["split"].isin(["val", "test"])]
    train = table[table["split"] == "train"]
    return held.to_dict(), len(train[["cell_type", "treatment"]].drop_duplicates())


def test_scores_are_those_of_evaluate_and_calls_do_not_mix(shelf) -> None:
    put_norman(shelf)
    task = shelf.task("norman19-combination")
    assert task.screen is task.screen
    good, poor = means_of(task.screen, 0.05), means_of(task.screen, 1.0)
    before = fingerprint(task.screen)
    scores = task.evaluate({"good": good, "poor": poor}, metrics=FAST)
    assert scores.index.tolist() == ["good", "poor"]
    assert scores["mean"].columns.tolist() == FAST
    assert scores["mean"]["rmse_mean"]["good"] < scores["mean"]["rmse_mean"]["poor"]
    by_hand = task.screen.copy()
    for name, prediction in {"good": good, "poor": poor}.items():
        ps.pp.add_prediction(by_hand, prediction, name)
    ps.ev.evaluate(by_hand, metrics=FAST, n_components=256)
    pd.testing.assert_frame_equal(scores, ps.get.scores(by_hand))
    again = task.evaluate({"poor": poor}, metrics=FAST)
    assert again.index.tolist() == ["poor"]
    pd.testing.assert_frame_equal(again, scores.loc[["poor"]])
    bare = task.evaluate({"poor": poor}, metrics=FAST, floor=False, ceiling=False)
    assert set(bare.columns.levels[0]) == {"mean", "ci_low", "ci_high", "n_conditions"}
    assert fingerprint(task.screen) == before


def test_the_tasks_own_metrics(shelf) -> None:
    put_frangieh(shelf)
    task = shelf.task("frangieh21-coculture")
    scores = task.evaluate({"means": means_of(task.screen, 0.1)})
    of_means = [m for m in task.task.metrics if not m.startswith("half_energy")]
    assert scores["mean"].columns.tolist() == of_means
    assert {"floor", "ceiling", "normalised"} <= set(scores.columns.levels[0])


def test_prediction_that_lacks_conditions_or_does_not_fit(shelf) -> None:
    put_norman(shelf)
    task = shelf.task("norman19-combination")
    whole = means_of(task.screen, 0.1)
    with pytest.warns(UserWarning, match=f"'part' lacks 1 of {whole.n_obs} conditions"):
        scores = task.evaluate({"part": whole[1:]}, metrics=["rmse_mean"])
    assert scores["n_conditions"].loc["part", "rmse_mean"] == whole.n_obs - 1
    with pytest.raises(ValueError, match="prediction 'few': the prediction lacks 3 of the screen"):
        task.evaluate({"whole": whole, "few": whole[:, 3:]})
    with pytest.raises(TypeError, match=r"\{'my model': prediction\}, not AnnData"):
        task.evaluate(whole)
    with pytest.raises(ValueError, match="nearest: 'rmse_mean'"):
        task.evaluate({"whole": whole}, metrics=["rmse_maen"])
