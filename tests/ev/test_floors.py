"""Floors against a dozen lines of NumPy, and the best of them in ``ps.ev.evaluate``."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.ev.judged import as_prediction, observed_means, random_means, screen, with_random
from tests.ev.worlds import table_of
from tests.helpers import dense

import pertscope as ps
from pertscope.ev._floors import floors
from pertscope.ev._judged import observe

TRAIN = ("A", "B", "C", "D")
LABELS = ("A", "B", "C", "D", "A+B", "C+D", "A+E", "E")


def split_screen(train=TRAIN, labels=LABELS, **settings):
    """Screen whose perturbations `train` are in train, with their controls, the others in test."""
    adata = screen(labels, n_cells=5, **settings)
    part = adata.obs["perturbation"].astype(str).map(lambda p: "train" if p in train else "test")
    adata.obs["split"] = part.where(adata.obs["perturbation"] != "control", "train").to_numpy()
    return adata


def floor_means(adata, split="test") -> dict[str, pd.DataFrame]:
    """Mean of every floor: (cell type, perturbation) x genes."""
    judged = observe(adata, split, with_training=True)
    index = pd.MultiIndex.from_frame(judged.conditions.table)
    return {
        name: pd.DataFrame(side.moments.mean, index=index, columns=adata.var_names)
        for name, side in floors(judged).items()
    }


def by_hand(adata, train=TRAIN, test=("A+B", "C+D", "A+E", "E")) -> dict[str, pd.DataFrame]:
    """The first three floors, of conditions in the order of the screen."""
    means = observed_means(adata)
    found = {name: {} for name in ("no_change", "mean_effect", "additive")}
    for context in ("x", "y"):
        mean = means.loc[context]
        effect = mean.loc[[t for t in train if t in mean.index]] - mean.loc["control"]
        for label in sorted(set(test) & set(mean.index)):
            parts = label.split("+")
            average = mean.loc["control"] + effect.mean()
            found["no_change"][context, label] = mean.loc["control"]
            found["mean_effect"][context, label] = average
            known = len(parts) > 1 and set(parts) <= set(effect.index)
            added = mean.loc["control"] + effect.reindex(parts).sum()
            found["additive"][context, label] = added if known else average
    return {name: pd.DataFrame(rows).T for name, rows in found.items()}


def compare(got: dict[str, pd.DataFrame], want: dict[str, pd.DataFrame]) -> None:
    for name, table in want.items():
        assert got[name].index.tolist() == table.index.tolist()
        np.testing.assert_allclose(got[name], table, rtol=1e-5, atol=1e-6, err_msg=name)


def test_by_hand() -> None:
    adata = split_screen()
    got = floor_means(adata)
    assert set(got) == {"no_change", "mean_effect", "additive", "permuted"}
    compare(got, by_hand(adata))


def test_nothing_but_train_enters() -> None:
    """Other values of the held-out conditions move none of the three."""
    adata = split_screen()
    before = floor_means(adata)
    x = dense(adata.X)
    test = (adata.obs["split"] == "test").to_numpy()
    x[test] += np.random.default_rng(0).random((int(test.sum()), adata.n_vars))
    adata.X = x.astype(np.float32)
    after = floor_means(adata)
    for name in ("no_change", "mean_effect", "additive"):
        pd.testing.assert_frame_equal(after[name], before[name], rtol=1e-6)
    assert not np.allclose(after["permuted"], before["permuted"])


def test_training_that_one_context_lacks() -> None:
    """There, the mean effect of all training perturbations; nothing to add up."""
    adata = split_screen()
    here = (adata.obs["cell_type"] == "y") & (adata.obs["perturbation"] != "control")
    adata.obs.loc[here, "split"] = "test"
    got, means = floor_means(adata), observed_means(adata)
    effect = means.loc["x"].loc[list(TRAIN)] - means.loc[("x", "control")]
    want = means.loc[("y", "control")] + effect.mean()
    for name in ("mean_effect", "additive"):
        for label in LABELS:
            np.testing.assert_allclose(got[name].loc[("y", label)], want, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_permuted_is_another_condition(seed) -> None:
    adata = split_screen()
    judged = observe(adata, "test", with_training=True)
    side = floors(judged, seed=seed)["permuted"]
    table = judged.conditions.table
    taken = judged.all_conditions.table.iloc[side.groups].reset_index(drop=True)
    assert (taken["perturbation"] != table["perturbation"]).all()
    assert (taken["cell_type"] == table["cell_type"]).all()
    for context, rows in table.groupby("cell_type"):
        assert sorted(taken.loc[rows.index, "perturbation"]) == sorted(rows["perturbation"]), (
            context
        )
    again = floors(judged, seed=seed)["permuted"]
    assert np.array_equal(again.groups, side.groups)


def test_alone_in_its_context() -> None:
    """Nothing to permute: the controls."""
    adata = split_screen(labels={"x": ["A", "E", "A+B"], "y": ["B", "E"]})
    got = floor_means(adata)
    np.testing.assert_allclose(
        got["permuted"].loc[("y", "E")], got["no_change"].loc[("y", "E")], rtol=1e-6
    )
    assert "additive" not in got  # A and B are no pair in any cell type


def test_cells() -> None:
    """Floors made of cells: controls, pooled training cells, another condition."""
    adata = split_screen()
    judged = observe(adata, "test", with_training=True)
    found = floors(judged, of_cells=True)
    assert set(found) == {"no_change", "mean_effect", "permuted"}
    obs, x = adata.obs, dense(adata.X)
    for i, (context, _) in enumerate(judged.conditions.table.itertuples(index=False)):
        here = (obs["cell_type"] == context).to_numpy()
        want = {
            "no_change": here & (obs["perturbation"] == "control").to_numpy(),
            "mean_effect": here & obs["perturbation"].isin(TRAIN).to_numpy(),
        }
        for name, rows in want.items():
            side = found[name]
            cells = dense(side.populations.cells(int(side.groups[i])))
            np.testing.assert_array_equal(cells, x[rows])
            np.testing.assert_allclose(side.moments.variance[i], x[rows].var(axis=0), atol=1e-6)


@pytest.mark.parametrize("which", ["no split", "split=None", "no training cells", "controls only"])
def test_what_counts_as_training(which) -> None:
    """Perturbations of train where there is a split; without any, all perturbations."""
    adata = split_screen()
    split, train, test = None, LABELS, LABELS
    if which == "no split":
        del adata.obs["split"]
    elif which == "split=None":
        train = TRAIN
    else:
        rest = "train" if which == "controls only" else "test"
        control = adata.obs["perturbation"] == "control"
        adata.obs["split"] = np.where(control, rest, "test")
        split = "test"
    compare(floor_means(adata, split), by_hand(adata, train, test))


METRICS = ("rmse_mean", "pearson_effect", "cosine_rank_logfc", "matrix_distance_effect")


def oracle(adata, floor: str) -> pd.DataFrame:
    """Scores of a floor, kept as if it were a prediction."""
    other = split_screen()
    means = floor_means(adata)[floor]
    ps.pp.add_prediction(other, as_prediction(other, means), floor)
    ps.ev.evaluate(other, metrics=METRICS, floor=False, ceiling=False)
    return table_of(other).set_index(["name", "cell_type", "perturbation"])["value"]


def test_the_best_floor() -> None:
    """Each metric's floor is the guess with the best mean, and has its values."""
    adata = with_random(split_screen())
    ps.ev.evaluate(adata, metrics=METRICS, ceiling=False)
    table = table_of(adata)
    scores = {name: oracle(adata, name) for name in floor_means(adata)}
    for metric in METRICS:
        higher = metric == "pearson_effect"
        means = pd.Series({name: s[metric].mean() for name, s in scores.items()})
        best = means.idxmax() if higher else means.idxmin()
        rows = table[table["name"] == metric]
        assert rows["floor_name"].eq(best).all(), (metric, means)
        np.testing.assert_allclose(rows["floor"], scores[best][metric], rtol=1e-5, atol=1e-6)
    joined = ps.get.scores(adata)
    for metric in METRICS:
        assert joined["floor"].loc["random", metric] == pytest.approx(
            table.loc[table["name"] == metric, "floor"].mean()
        )


def test_floors_of_incomplete_predictions() -> None:
    """A prediction that lacks conditions is held against floors and ceilings over the others."""
    lacking = [("x", "A+E"), ("x", "E")]
    adata = with_random(split_screen())
    means = random_means(adata, seed=3)
    ps.pp.add_prediction(adata, as_prediction(adata, means.drop(lacking)), "part")
    with pytest.warns(UserWarning, match="'part' lacks 2 of 8") as seen:
        ps.ev.evaluate(adata, metrics=METRICS)
    assert seen[0].filename == __file__
    got = table_of(adata).query("prediction == 'part'")
    assert (got["perturbation"] != "(all)").sum() == 6 * 3

    smaller = split_screen()
    kept = [(c, p) not in lacking for c, p in smaller.obs[["cell_type", "perturbation"]].to_numpy()]
    smaller = smaller[kept].copy()
    ps.pp.add_prediction(smaller, as_prediction(smaller, means.drop(lacking)), "part")
    ps.ev.evaluate(smaller, metrics=METRICS)
    want = table_of(smaller)
    for column in ("value", "floor"):
        np.testing.assert_allclose(got[column], want[column], rtol=1e-6, atol=1e-9)
    alone = split_screen()
    ps.pp.add_prediction(alone, as_prediction(alone, means), "whole")
    ps.ev.evaluate(alone, metrics=METRICS)
    whole = table_of(alone).set_index(["name", "cell_type", "perturbation"])
    both = got.set_index(["name", "cell_type", "perturbation"])
    for metric in ("rmse_mean", "pearson_effect"):  # a ceiling does not depend on the others
        same = whole.loc[both.loc[[metric]].index, "ceiling"]
        np.testing.assert_allclose(both.loc[[metric], "ceiling"], same, rtol=1e-9)


def test_diagnoses_have_no_floor() -> None:
    adata = with_random(split_screen())
    ps.ev.evaluate(adata, metrics=["dispersion_ratio_effect", "cosine_to_mean_effect"])
    table = table_of(adata)
    assert table["floor"].isna().all()
    assert (table["floor_name"] == "none").all()
    assert table["ceiling"].notna().all()


def test_spread_has_floors_of_cells() -> None:
    """Variances of guesses that are means alone are unknown: their floors are cells."""
    adata = split_screen()
    cells = adata[(adata.obs["split"] == "test").to_numpy()]
    cells.obs = cells.obs[["cell_type", "perturbation"]]
    ps.pp.add_prediction(adata, cells.copy(), "cells")
    names = ["rmse_variance", "rmse_rank_cv", "discrimination_score_l1_variance"]
    ps.ev.evaluate(adata, metrics=names, ceiling=False)
    table = table_of(adata)
    assert table["floor"].notna().all()
    assert (table.loc[table["name"] != "rmse_variance", "floor"].between(0, 1)).all()
