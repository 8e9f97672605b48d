"""Macro-F1 of predicted labels: against scikit-learn, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score
from tests.helpers import fingerprint, refused
from tests.models.response.known_effects import effect_screen, label_screen, split

import pertscope as ps


def predicted(adata, seed: int = 0):
    """Labels of the perturbed conditions, a third of them drawn anew, in another order."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(adata.obs["gene"] != "control"))
    prediction = adata[rows, ::-1].copy()
    wrong = rng.random(prediction.shape) < 1 / 3
    drawn = rng.integers(-1, 2, prediction.shape)
    prediction.X = np.where(wrong, drawn, prediction.X).astype(np.float32)
    return prediction


@pytest.fixture
def adata():
    adata = split(label_screen(30, contexts=("x", "y")))
    ps.pp.add_prediction(adata, predicted(adata), "mine")
    return adata


def f1(true, said) -> float:
    return float(f1_score(true, said, labels=np.unique(true), average="macro"))


@pytest.mark.parametrize("part", ["test", None])
def test_against_sklearn(adata, part) -> None:
    before = fingerprint(adata.X)
    ps.ev.label_metrics(adata, split=part)
    assert fingerprint(adata.X) == before
    table = adata.uns["label_metrics"]
    assert table["statistic"].unique().tolist() == ["label"]
    chosen = adata.obs["gene"] != "control"
    if part is not None:
        chosen &= adata.obs["split"] == part
    true, said = adata[chosen].to_df(), ps.get.prediction(adata, "mine").to_df()
    said = said.loc[true.index, true.columns]
    values = table.set_index(["metric", "line", "perturbation"])["value"]
    for name in true.index:
        want = f1(true.loc[name], said.loc[name])
        assert values[("macro_f1", *name.split("|"))] == pytest.approx(want)
    for context in "xy":
        here = adata.obs["line"][true.index] == context
        each = [f1(true.loc[here, g], said.loc[here, g]) for g in true]
        assert values["macro_f1_per_gene", context, "(all)"] == pytest.approx(np.mean(each))
    assert len(values) == len(true) + 2


def test_right_is_best_and_levels(adata) -> None:
    right = adata[adata.obs["gene"] != "control"].copy()
    ps.pp.add_prediction(adata, right, "right")
    ps.ev.label_metrics(adata, metrics=["macro_f1"])
    assert set(adata.uns["label_metrics"]["metric"]) == {"macro_f1"}
    scores = ps.get.scores(adata)["mean"]["macro_f1_label"]
    assert scores["right"] == 1 > scores["mine"] > 0.3


def test_floors(adata) -> None:
    """The nearest label of a mean effect is a guess like others."""
    ps.ev.evaluate(adata, metrics=["macro_f1_label", "macro_f1_per_gene_label"], ceiling=False)
    table = adata.uns["evaluation"]
    assert table["floor"].between(0, 1).all()
    assert set(table["better"]) == {"higher"}
    rows = table[table["metric"] == "macro_f1_per_gene"].set_index("line")
    for context in "xy":
        here = (adata.obs["line"] == context) & (adata.obs["gene"] != "control")
        true = adata[here & (adata.obs["split"] == "test")].to_df()
        mean = adata[here & (adata.obs["split"] == "train")].to_df().mean().round()
        want = {
            "no_change": np.mean([f1(true[g], 0 * true[g]) for g in true]),
            "mean_effect": np.mean([f1(true[g], 0 * true[g] + mean[g]) for g in true]),
        }
        name = rows.loc[context, "floor_name"]
        if name in want:
            assert rows.loc[context, "floor"] == pytest.approx(want[name])
        assert rows.loc[context, "floor"] >= 0


def test_what_is_no_label_is_refused(adata) -> None:
    ps.tl.fit_embedding_regression(adata, perturbation_embedding="true", regressor="ridge")
    message = "prediction 'embedding_regression' must be labels, -1, 0 or 1.*regressor='logistic'"
    with refused(adata, ValueError, message):
        ps.ev.label_metrics(adata)
    with refused(adata, ValueError, message):
        ps.ev.evaluate(adata, metrics=["macro_f1_label"])
    ps.ev.label_metrics(adata, "mine")
    effects = split(effect_screen(20))
    ps.tl.fit_no_change(effects)
    with refused(effects, ValueError, "the screen must be labels.*`ps.tl.deg_labels"):
        ps.ev.label_metrics(effects)
    with refused(adata, ValueError, "unknown metric 'f1'"):
        ps.ev.label_metrics(adata, metrics=["f1"])
    with refused(adata, TypeError, r"takes a list: \['macro_f1'\]"):
        ps.ev.label_metrics(adata, metrics="macro_f1")
    with refused(adata, KeyError, "no prediction 'yours'"):
        ps.ev.label_metrics(adata, "yours")


def test_missing_conditions_and_order(adata) -> None:
    """Of a prediction that lacks conditions, the others; the same bytes twice."""
    few = predicted(adata)
    lost = few.obs_names[few.obs["gene"] == adata.obs["gene"][adata.obs["split"] == "test"].iloc[0]]
    ps.pp.add_prediction(adata, few[~few.obs_names.isin(lost)].copy(), "few")
    with pytest.warns(UserWarning, match=rf"'few' lacks {len(lost)} of"):
        ps.ev.label_metrics(adata)
    table = adata.uns["label_metrics"]
    found = table[table["metric"] == "macro_f1"].pivot(
        index=["line", "perturbation"], columns="prediction", values="value"
    )
    assert found["few"].isna().sum() == len(lost)
    known = found.dropna()
    np.testing.assert_array_equal(known["few"], known["mine"])
    before = fingerprint(table)
    with pytest.warns(UserWarning, match="'few' lacks"):
        ps.ev.label_metrics(adata)
    assert fingerprint(adata.uns["label_metrics"]) == before
