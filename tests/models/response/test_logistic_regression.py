"""Logistic regression of labels: against scikit-learn gene by gene, and where truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.helpers import fingerprint, refused
from tests.models.response.known_effects import (
    add,
    effect_screen,
    effects_of,
    label_screen,
    sides,
    split,
    table_of,
)

import pertscope as ps
from pertscope.models.response import _lbfgs
from pertscope.models.response import _logistic_regression as logistic
from pertscope.models.response._regression import inner_folds

PENALTIES = [1e-3, 1e-2, 1e-1, 1.0]
KEY = "embedding_regression"
VARYING = [0, 1, 2, 4, 5]
"""Genes of :func:`drawn` that have more than one label."""


def by_sklearn(z, y, penalty) -> LogisticRegression:
    """One gene. Of two labels it has one vector of weights, whose square is half of ours."""
    c = 2 if len(np.unique(y)) == 2 else 1
    return LogisticRegression(
        C=c / (penalty * len(z)), class_weight="balanced", tol=1e-9, max_iter=10_000
    )


def labels_by_sklearn(z, y, new, penalty) -> np.ndarray:
    found = np.zeros((len(new), y.shape[1]))
    for g in range(y.shape[1]):
        found[:, g] = y[0, g]
        if np.ptp(y[:, g]):
            found[:, g] = by_sklearn(z, y[:, g], penalty).fit(z, y[:, g]).predict(new)
    return found


def drawn(n: int = 90, n_features: int = 4, n_genes: int = 6):
    """Features, and labels of genes: three, two (each pair), one, and a rare one."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, n_features)) * [3.0, 1.0, 0.3, 1.0]
    eta = z @ rng.normal(size=(n_features, n_genes)) + rng.normal(size=(n, n_genes))
    y = np.sign(eta) * (np.abs(eta) > 1.5)
    y[:, 1] = np.maximum(y[:, 1], 0)
    y[:, 2] = np.where(y[:, 2] == 0, 1, y[:, 2])
    y[:, 3] = 1
    y[:, 4] = np.where(np.arange(n) == 7, -1, y[:, 4] == 1)
    return z, y


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
def test_coefficients_are_those_of_sklearn(penalty) -> None:
    z, y = drawn()
    got = logistic.fit_logistic(z, y, penalty)
    assert got.shape == (3, 5, 6)
    new = np.random.default_rng(1).normal(size=(50, 4))
    for g in range(6):
        there = np.isin(logistic.LABELS, y[:, g])
        assert (got[~there, -1, g] < -1e20).all()
        assert not got[~there, :-1, g].any()
        if there.sum() < 2:
            continue
        oracle = by_sklearn(z, y[:, g], penalty).fit(z, y[:, g])
        w, b = got[there, :-1, g], got[there, -1, g]
        if there.sum() == 2:
            w, b = w[1:] - w[:1], b[1:] - b[:1]
        else:
            b = b - b.mean() + oracle.intercept_.mean()
        np.testing.assert_allclose(w, oracle.coef_, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(b, oracle.intercept_, rtol=2e-3, atol=2e-3)
    want = labels_by_sklearn(z, y, new, penalty)
    np.testing.assert_array_equal(logistic.logistic_labels(got, new), want)


def test_inner_errors_are_those_of_sklearn() -> None:
    z, y = drawn()
    y[7, 4] = 0  # or it is missing from a fold, which scikit-learn's balance does not know
    fold = inner_folds(len(z), 4, 0)
    got = logistic.logistic_errors(z, y, fold, PENALTIES, seed=0)
    for penalty, error in zip(PENALTIES, got, strict=True):
        each = []
        for g in VARYING:
            model = by_sklearn(z, y[:, g], penalty * 0.75)  # C is for 3/4 of the rows
            found = cross_val_predict(model, z, y[:, g], cv=PredefinedSplit(fold))
            each.append(f1_score(y[:, g], found, labels=np.unique(y[:, g]), average="macro"))
        assert error == pytest.approx(1 - np.mean(each), abs=5e-3)
    assert np.ptp(got) > 0.02


def test_many_genes_are_chosen_by_some(monkeypatch) -> None:
    z, y = drawn()
    fold = inner_folds(len(z), 4, 0)
    alone = [logistic.logistic_errors(z, y[:, [g]], fold, [0.1], seed=0)[0] for g in VARYING]
    monkeypatch.setattr(logistic, "N_GENES", 1)
    got = {logistic.logistic_errors(z, y, fold, [0.1], seed=s)[0] for s in range(8)}
    assert len(got) > 1
    assert got <= set(alone)
    monkeypatch.setattr(logistic, "GENES_AT_ONCE", 2)
    np.testing.assert_array_equal(
        logistic.logistic_labels(logistic.fit_logistic(z, y, 0.1), z),
        labels_by_sklearn(z, y, z, 0.1),
    )


def test_a_screen_against_sklearn() -> None:
    """The whole pipeline, with the penalty that has the best macro-F1 over inner folds."""
    adata = split(label_screen(contexts=("x", "y"), noise=0.5, n_genes=6))
    model = ps.tl.fit_embedding_regression(
        adata, perturbation_embedding="true", regressor="logistic", penalties=PENALTIES
    )
    for context in "xy":
        part, table = sides(adata, context), table_of(adata, "true")
        project = make_pipeline(StandardScaler(), PCA(svd_solver="full"))
        z = project.fit_transform(table.loc[part["train"]].to_numpy(np.float64))
        new = project.transform(table.loc[part["test"]].to_numpy(np.float64))
        y = effects_of(adata, part["train"], context)
        fold = inner_folds(len(z), 5, 0)
        scores = []
        for penalty in PENALTIES:
            found = np.zeros_like(y)
            for f in range(5):
                rows = fold == f
                found[rows] = labels_by_sklearn(z[~rows], y[~rows], z[rows], penalty)
            each = [
                f1_score(y[:, g], found[:, g], labels=np.unique(y[:, g]), average="macro")
                for g in range(y.shape[1])
            ]
            scores.append(np.mean(each))
        best = PENALTIES[int(np.argmax(scores))]
        assert model.selected[context] == best
        got = ps.get.prediction(adata, KEY)[[f"{context}|{p}" for p in part["test"]]].X
        np.testing.assert_array_equal(got, labels_by_sklearn(z, y, new, best))
        assert got.dtype == np.float32


def test_the_truth_beats_chance(tmp_path) -> None:
    adata = split(label_screen(150, contexts=("x", "y"), n_genes=30))
    for name in ("true", "random"):
        model = ps.tl.fit_embedding_regression(
            adata, perturbation_embedding=name, regressor="logistic", key_added=name
        )
    ps.tl.fit_no_change(adata)
    ps.ev.label_metrics(adata)
    scores = ps.get.scores(adata)["mean"]
    for metric in ("macro_f1_label", "macro_f1_per_gene_label"):
        floor = scores.loc["no_change", metric]
        assert scores.loc["true", metric] > floor + 0.25
        assert scores.loc["random", metric] < floor + 0.1
    again = ps.models.EmbeddingRegression(
        adata, perturbation_embedding="random", regressor="logistic"
    )
    again.train()
    assert fingerprint(again.predict()) == fingerprint(model.predict())
    model.save(tmp_path / "model")
    loaded = ps.models.EmbeddingRegression.load(tmp_path / "model", adata)
    assert fingerprint(loaded.predict()) == fingerprint(model.predict())
    assert loaded.selected == model.selected


def test_without_a_vector_the_most_frequent_label() -> None:
    adata = split(label_screen(threshold=0.3))
    part = sides(adata)
    lost = part["test"][1]
    add(adata, table_of(adata, "true").drop(lost), "few")
    with pytest.warns(UserWarning, match=rf"for 1 of 10 held-out .*'x\|{lost}'"):
        ps.tl.fit_embedding_regression(adata, perturbation_embedding="few", regressor="logistic")
    got = ps.get.prediction(adata, KEY)[f"x|{lost}"].X[0]
    y = effects_of(adata, part["train"])
    counts = np.stack([(y == label).sum(axis=0) for label in (-1, 0, 1)])
    alone = (counts == counts.max(axis=0)).sum(axis=0) == 1
    assert alone.sum() > 8
    np.testing.assert_array_equal(got[alone], (counts.argmax(axis=0) - 1)[alone])


def test_little_to_learn_from() -> None:
    """Few conditions, a label that inner folds lack, and a screen in which nothing moves."""
    for n in (3, 5):
        adata = split(label_screen(n, threshold=0.3), n_folds=min(n, 3))
        ps.tl.fit_embedding_regression(adata, perturbation_embedding="true", regressor="logistic")
        trained = effects_of(adata, sides(adata)["train"])
        for label, row in zip(ps.get.prediction(adata, KEY).X.T, trained.T, strict=True):
            assert set(label) <= set(row)
    adata.X = np.zeros_like(adata.X)
    ps.tl.cross_validate(adata, "logistic", "true", n_folds=3)
    ps.ev.label_metrics(adata, ["logistic_true"], split=None)
    assert (adata.uns["label_metrics"]["value"] == 1).all()


def test_refusals() -> None:
    effects = split(effect_screen())
    with refused(effects, ValueError, "'logistic' predicts must be labels.*`ps.tl.deg_labels"):
        ps.tl.fit_embedding_regression(effects, perturbation_embedding="true", regressor="logistic")
    labels = split(label_screen())
    with refused(labels, ValueError, "`join`='stack' weighs effects.*use 'concat'"):
        ps.tl.fit_embedding_regression(
            labels,
            perturbation_embedding=["true", "random"],
            regressor="logistic",
            join="stack",
        )


def test_what_does_not_settle_is_told(monkeypatch) -> None:
    z, y = drawn()
    monkeypatch.setattr(_lbfgs, "MAX_ITERATIONS", 2)
    with pytest.warns(UserWarning, match="5 of 6 regressions did not settle.*0.001: offer larger"):
        logistic.fit_logistic(z, y, 1e-3)


def test_minima_of_many_functions() -> None:
    """Against SciPy, from far away and badly scaled; some settle long before others."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 4, 20)) * rng.uniform(0.1, 3, 20)
    shift = rng.normal(size=(4, 20)) * 5

    def one(x, i):
        u = a[:, :, i] @ (x - shift[:, i])
        return np.log(np.cosh(u)).sum() + 0.05 * x @ x, a[:, :, i].T @ np.tanh(u) + 0.1 * x

    def evaluate(x, which):
        found = [one(x[:, j], i) for j, i in enumerate(which)]
        return np.array([f for f, _ in found]), np.stack([g for _, g in found], axis=1)

    got, unsettled = _lbfgs.minimise(
        evaluate, rng.normal(size=(4, 20)) * 3, np.ones((4, 20)), tolerance=1e-13
    )
    assert unsettled == 0
    for i in range(20):
        want = minimize(one, shift[:, i], (i,), jac=True, method="BFGS", options={"gtol": 1e-9})
        np.testing.assert_allclose(got[:, i], want.x, atol=1e-5)
