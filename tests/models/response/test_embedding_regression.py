"""Regressions on embeddings: against scikit-learn, and where the truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls
from sklearn.decomposition import PCA
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.helpers import fingerprint, refused
from tests.models.response.known_effects import (
    add,
    effect_screen,
    effects_of,
    sides,
    split,
    table_of,
)

import pertscope as ps
from pertscope.models.response._linear_regression import fit_linear, linear_effects, linear_errors
from pertscope.models.response._neighbor_regression import neighbor_errors
from pertscope.models.response._regression import RegressionOptions, inner_folds

NEIGHBORS = [2, 4, 7, 11]
PENALTIES = [1e-3, 1e-2, 1e-1, 1.0]
KEY = "embedding_regression"


class PerRow(Ridge):
    """Ridge regression whose penalty is per row, as that of the lasso."""

    def fit(self, X, y):
        ridge = Ridge(self.alpha * len(X)).fit(X, y)
        self.coef_, self.intercept_ = ridge.coef_, ridge.intercept_
        return self


def l2_error(y, found) -> float:
    return np.linalg.norm(y - found, axis=1).mean()


def by_sklearn(adata, estimator, grid, context: str = "x", *, embedding="true", n_components=100):
    """Best parameters and prediction of the test perturbations, by scikit-learn alone."""
    part, table = sides(adata, context), table_of(adata, embedding)
    n = min(n_components, len(part["train"]), table.shape[1])
    project = make_pipeline(StandardScaler(), PCA(n, svd_solver="full"))
    z = project.fit_transform(table.loc[part["train"]].to_numpy(np.float64))
    folds = PredefinedSplit(inner_folds(len(z), 5, 0))
    score = make_scorer(l2_error, greater_is_better=False)
    search = GridSearchCV(estimator, grid, scoring=score, cv=folds)
    search.fit(z, effects_of(adata, part["train"], context))
    new = project.transform(table.loc[part["test"]].to_numpy(np.float64))
    return search.best_params_, search.predict(new)


def predicted(adata, context: str = "x", key: str = KEY) -> np.ndarray:
    names = [f"{context}|{name}" for name in sides(adata, context)["test"]]
    return np.asarray(ps.get.prediction(adata, key)[names].X)


@pytest.mark.parametrize("noise", [0.1, 3.0])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbors_are_those_of_sklearn(noise, metric, weights) -> None:
    adata = split(effect_screen(noise=noise, contexts=("x", "y")))
    model = ps.tl.fit_embedding_regression(
        adata,
        perturbation_embedding="true",
        n_neighbors=NEIGHBORS,
        metric=metric,
        weights=weights,
        n_components=4,
    )
    for context in "xy":
        knn = KNeighborsRegressor(metric=metric, weights=weights, algorithm="brute")
        best, want = by_sklearn(adata, knn, {"n_neighbors": NEIGHBORS}, context, n_components=4)
        assert model.selected[context] == best["n_neighbors"]
        np.testing.assert_allclose(predicted(adata, context), want, atol=1e-5)


@pytest.mark.parametrize(
    ("regressor", "estimator"),
    [
        ("ridge", PerRow()),
        ("lasso", Lasso(tol=1e-10, max_iter=100_000)),
        ("elastic_net", ElasticNet(l1_ratio=0.3, tol=1e-10, max_iter=100_000)),
        ("linear", LinearRegression()),
    ],
)
def test_linear_regressions_are_those_of_sklearn(regressor, estimator) -> None:
    adata = split(effect_screen(noise=1.0, contexts=("x", "y")))
    model = ps.tl.fit_embedding_regression(
        adata,
        perturbation_embedding="true",
        regressor=regressor,
        penalties=PENALTIES,
        l1_ratio=0.3,
    )
    for context in "xy":
        grid = {} if regressor == "linear" else {"alpha": PENALTIES}
        best, want = by_sklearn(adata, estimator, grid, context)
        assert model.selected[context] == best.get("alpha", 0)
        np.testing.assert_allclose(predicted(adata, context), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "n_genes"), [(12, 5), (30, 40)])
def test_bilinear_is_ridge_on_both_sides(n, n_genes) -> None:
    rng = np.random.default_rng(n)
    z, effects = rng.normal(size=(n, 4)), rng.normal(size=(n, n_genes))
    p, y = z - z.mean(axis=0), effects - effects.mean(axis=0)
    left, size, _ = np.linalg.svd(y.T, full_matrices=False)
    g = left * size
    for penalty in (0.01, 1.0):
        a = n * penalty
        of_genes = np.linalg.solve(g.T @ g + a * np.eye(g.shape[1]), g.T @ y.T @ p)
        w = g @ of_genes @ np.linalg.inv(p.T @ p + a * np.eye(4))
        found = fit_linear(z, effects, penalty, 0.0, bilinear=True)
        np.testing.assert_allclose(found[:-1], w.T, atol=1e-9)
        want = effects.mean(axis=0) + p @ w.T
        np.testing.assert_allclose(linear_effects(found, z), want, atol=1e-9)
    errors = linear_errors(z, effects, np.arange(n) % 3, [0.01, 1.0], l1_ratio=0.0, bilinear=True)
    plain = linear_errors(z, effects, np.arange(n) % 3, [0.01, 1.0], l1_ratio=0.0)
    assert (errors < plain).all()  # noise alone: the more is shrunken, the better


@pytest.mark.parametrize(("n_dims", "n_components"), [(60, 100), (60, 10), (3, 100)])
def test_more_dimensions_than_perturbations(n_dims, n_components) -> None:
    adata = split(effect_screen(n_dims=n_dims))
    ps.tl.fit_embedding_regression(
        adata, perturbation_embedding="true", n_neighbors=NEIGHBORS, n_components=n_components
    )
    grid = {"n_neighbors": NEIGHBORS}
    _, want = by_sklearn(adata, KNeighborsRegressor(), grid, n_components=n_components)
    np.testing.assert_allclose(predicted(adata), want, atol=1e-5)


@pytest.mark.parametrize("metric", ["l2", "cosine", "tanimoto"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_inner_errors_by_the_gram_matrix(metric, weights) -> None:
    rng = np.random.default_rng(0)
    z, y = rng.random((23, 4)), rng.normal(3, 1, (23, 7))
    z[5], z[9] = z[4], z[4]
    fold = inner_folds(23, 4, 0)
    numbers = [1, 3, 10, 17]
    got = neighbor_errors(z, y @ y.T, fold, numbers, metric=metric, weights=weights)
    for k, error in zip(numbers, got, strict=True):
        each = [
            np.linalg.norm(
                y[i]
                - neighbor_mean_by_hand(
                    z[fold != fold[i]], y[fold != fold[i]], z[i], k, metric, weights
                )
            )
            for i in range(23)
        ]
        assert error == pytest.approx(np.mean(each), rel=1e-10)


def neighbor_mean_by_hand(z, y, new, k, metric, weights) -> np.ndarray:
    dot, a, b = z @ new, (z**2).sum(axis=1), (new**2).sum()
    d = {
        "l2": np.sqrt(((z - new) ** 2).sum(axis=1)),
        "cosine": 1 - dot / np.sqrt(a * b),
        "tanimoto": 1 - dot / (a + b - dot),
    }[metric]
    d[(z == new).all(axis=1)] = 0
    near = np.argsort(d, kind="stable")[:k]
    if weights == "uniform":
        return y[near].mean(axis=0)
    if (d[near] == 0).any():
        return y[near][d[near] == 0].mean(axis=0)
    return np.average(y[near], axis=0, weights=1 / d[near])


@pytest.mark.parametrize("l1_ratio", [0.0, 0.4, 1.0])
def test_inner_errors_of_linear_regressions(l1_ratio) -> None:
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(24, 4)), rng.normal(size=(24, 5))
    fold = np.arange(24) % 4
    got = linear_errors(z, y, fold, PENALTIES, l1_ratio=l1_ratio)
    for penalty, error in zip(PENALTIES, got, strict=True):
        estimator = PerRow(penalty)
        if l1_ratio:
            estimator = ElasticNet(penalty, l1_ratio=l1_ratio, tol=1e-12, max_iter=100_000)
        want = l2_error(y, cross_val_predict(estimator, z, y, cv=PredefinedSplit(fold)))
        assert error == pytest.approx(want, rel=1e-6)


def test_fingerprints() -> None:
    """Tanimoto distance of the bits as they are: on 0 and 1 it is that of Jaccard."""
    adata = effect_screen()
    bits = (np.random.default_rng(3).random((50, 40)) < 0.3).astype(float)
    add(adata, pd.DataFrame(bits, index=table_of(adata, "true").index), "bits")
    split(adata)
    model = ps.tl.fit_embedding_regression(
        adata, perturbation_embedding="bits", metric="tanimoto", n_neighbors=[3]
    )
    part, table = sides(adata), table_of(adata, "bits") > 0
    knn = KNeighborsRegressor(3, metric="jaccard", algorithm="brute")
    knn.fit(table.loc[part["train"]].to_numpy(), effects_of(adata, part["train"]))
    new = table.loc[part["test"]].to_numpy()
    distances = knn.kneighbors(new, 4)[0]
    alone = distances[:, 2] < distances[:, 3]  # no tie for the third place
    assert alone.sum() > 3
    np.testing.assert_allclose(predicted(adata)[alone], knn.predict(new)[alone], atol=1e-5)
    assert model.selected == {"x": 3}


def test_several_embeddings() -> None:
    """Each is projected by itself; where one has no vector, it says nothing."""
    adata = effect_screen()
    table = table_of(adata, "true")
    add(adata, table.iloc[:, :3], "first")
    add(adata, table.iloc[5:, 3:], "rest")
    split(adata)
    ps.tl.fit_embedding_regression(
        adata, perturbation_embedding=["first", "rest"], regressor="linear"
    )
    part = sides(adata)
    features = []
    for columns in (table.iloc[:, :3], table.iloc[5:, 3:]):
        scaler = StandardScaler().fit(columns.loc[columns.index.intersection(part["train"])])
        scaled = pd.DataFrame(scaler.transform(columns), index=columns.index)
        features.append(scaled.reindex(table.index).fillna(0.0))
    z = pd.concat(features, axis=1)
    regression = LinearRegression().fit(
        z.loc[part["train"]].to_numpy(), effects_of(adata, part["train"])
    )
    want = regression.predict(z.loc[part["test"]].to_numpy())
    np.testing.assert_allclose(predicted(adata), want, atol=1e-5)
    with refused(adata, ValueError, "must name embeddings, each once"):
        ps.tl.fit_embedding_regression(adata, perturbation_embedding=["first", "first"])


def test_stacking() -> None:
    """Weights of what cross-validated regressions predict above the mean, by plain NNLS."""
    adata = effect_screen(noise=1.0)
    table = table_of(adata, "true")
    add(adata, table.iloc[:, :3], "first")
    add(adata, table.iloc[:, 3:], "rest")
    names = ["first", "rest", "random"]
    split(adata)
    model = ps.tl.fit_embedding_regression(
        adata, perturbation_embedding=names, regressor="ridge", join="stack", penalties=[0.1]
    )
    part = sides(adata)
    y, fold = effects_of(adata, part["train"]), inner_folds(40, 5, 0)
    mean = np.stack([y[fold != fold[i]].mean(axis=0) for i in range(40)])
    above, new = [], []
    for name in names:
        ridge = make_pipeline(StandardScaler(), PCA(svd_solver="full"), PerRow(0.1))
        x, x_new = (table_of(adata, name).loc[part[s]].to_numpy() for s in ("train", "test"))
        above.append(cross_val_predict(ridge, x, y, cv=PredefinedSplit(fold)) - mean)
        new.append(ridge.fit(x, y).predict(x_new) - y.mean(axis=0))
    weights = nnls(np.stack([a.ravel() for a in above], axis=1), (y - mean).ravel())[0]
    np.testing.assert_allclose(model.stack.loc["x"], weights, atol=1e-5)
    assert model.stack.columns.tolist() == names
    want = y.mean(axis=0) + np.tensordot(weights, np.stack(new), 1)
    np.testing.assert_allclose(predicted(adata), want, atol=1e-4)


@pytest.mark.parametrize("regressor", ["knn", "lasso", "linear"])
def test_useless_sources_do_no_harm_to_a_stack(regressor, tmp_path) -> None:
    adata = split(effect_screen(100, contexts=("x", "y")))
    rng, names = np.random.default_rng(5), table_of(adata, "true").index
    for i in range(3):
        add(adata, pd.DataFrame(rng.random((100, 20)), index=names), f"useless{i}")
    useless = [f"useless{i}" for i in range(3)]
    settings = {"join": "stack", "n_neighbors": [3, 5, 10, 40]}
    for key, joined in (("alone", "true"), ("stack", ["true", *useless])):
        model = ps.tl.fit_embedding_regression(
            adata, perturbation_embedding=joined, regressor=regressor, key_added=key, **settings
        )
    error = {
        key: np.mean(
            [
                l2_error(effects_of(adata, sides(adata)["test"], c), predicted(adata, c, key))
                for c in "xy"
            ]
        )
        for key in ("alone", "stack")
    }
    assert error["stack"] < 1.05 * error["alone"]
    assert (model.stack["true"] > 3 * model.stack[useless].sum(axis=1)).all()
    model.save(tmp_path / "model")
    again = ps.models.EmbeddingRegression.load(tmp_path / "model", adata)
    assert fingerprint(again.predict()) == fingerprint(model.predict())
    ps.tl.cross_validate(adata, regressor, [["true", *useless]], **settings)
    here = ps.get.prediction(adata, "stack").obs_names
    got = ps.get.prediction(adata, f"{regressor}_true+" + "+".join(useless))[here].X
    np.testing.assert_allclose(got, ps.get.prediction(adata, "stack").X, atol=1e-5)


def test_combinations_and_cells() -> None:
    """On a screen of cells: the sum of the vectors is the vector of a combination."""
    adata = ps.datasets.simulate_screen(
        n_perturbations=9, n_combinations=8, n_genes=20, n_cells_per_condition=6, seed=0
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    names = sorted(
        {p for label in adata.obs["perturbation"] for p in label.split("+")} - {"control"}
    )
    add(adata, pd.DataFrame(np.eye(9), index=names), "one-hot")
    split(adata)
    model = ps.tl.fit_embedding_regression(
        adata, perturbation_embedding="one-hot", regressor="ridge", penalties=[1e-6]
    )
    a, b, c = sorted(model.vocabulary.perturbations)[:3]
    got = model.predict([f"{a}+{b}", c, f"{a}+{c}", b])
    for _, rows in got.obs.groupby("cell_type", observed=True):
        x = {p: got[name].X[0] for name, p in rows["perturbation"].items()}
        left, right = x[f"{a}+{b}"] + x[c], x[f"{a}+{c}"] + x[b]
        np.testing.assert_allclose(left, right, atol=1e-4)
        assert not np.allclose(x[f"{a}+{b}"], x[f"{a}+{c}"], atol=1e-3)


@pytest.mark.parametrize(
    "regressor", ["knn", "ridge", "bilinear", "lasso", "elastic_net", "linear", "mlp"]
)
def test_the_truth_beats_chance(regressor) -> None:
    """Effects are a linear function of one embedding; another is random."""
    adata = split(effect_screen(120, contexts=("x", "y")))
    for name in ("true", "random"):
        ps.tl.fit_embedding_regression(
            adata,
            perturbation_embedding=name,
            regressor=regressor,
            n_neighbors=[3, 5, 10, 20, 40, 80],
            n_hidden=32,
            key_added=name,
        )
    ps.tl.fit_mean_effect(adata)
    ps.ev.rank_metrics(adata, distances=[("rmse", "effect")])
    ps.ev.error_metrics(adata, metrics=["cosine", "rmse"], statistics=["effect"])
    scores = ps.get.scores(adata)["mean"]
    assert scores.loc["true", "rmse_rank_effect"] < 0.2 < scores.loc["random", "rmse_rank_effect"]
    assert scores.loc["true", "cosine_effect"] > scores.loc["mean_effect", "cosine_effect"] + 0.1
    assert scores.loc["true", "rmse_effect"] < 0.8 * scores.loc["mean_effect", "rmse_effect"]
    if regressor not in ("linear", "mlp"):  # which cannot choose to say nothing
        at_mean = scores.loc["random", "rmse_effect"] / scores.loc["mean_effect", "rmse_effect"]
        assert 0.97 < at_mean < 1.1


@pytest.mark.parametrize("regressor", ["knn", "lasso", "mlp"])
def test_saved_and_loaded(regressor, tmp_path) -> None:
    adata = effect_screen(contexts=("x", "y"))
    add(adata, table_of(adata, "true").drop(["p003", "p004", "p005"]), "few")
    split(adata)
    with pytest.warns(UserWarning, match="no vector in"):
        model = ps.tl.fit_embedding_regression(
            adata,
            perturbation_embedding="few",
            regressor=regressor,
            n_hidden=4,
        )
    model.save(tmp_path / "model")
    again = ps.models.EmbeddingRegression.load(
        tmp_path / "model", effect_screen(contexts=("x", "y"))
    )
    assert fingerprint(again.predict(["p001", "p003"])) == fingerprint(
        model.predict(["p001", "p003"])
    )
    assert again.selected == model.selected


def test_missing_vectors_are_told_and_get_the_mean() -> None:
    adata = split(effect_screen())
    part = sides(adata)
    lost = [*part["train"][:2], part["test"][1]]
    add(adata, table_of(adata, "true").drop(lost), "few")
    with pytest.warns(
        UserWarning,
        match=rf"in 'few' for 2 of 40 training .*; for 1 of 10 held-out .*'x\|{lost[2]}'",
    ) as told:
        ps.tl.fit_embedding_regression(adata, perturbation_embedding="few", n_neighbors=[3])
    assert len(told) == 1
    got = predicted(adata)
    np.testing.assert_allclose(got[1], effects_of(adata, part["train"]).mean(axis=0), atol=1e-6)
    table, trained = table_of(adata, "few"), part["train"][2:]
    knn = make_pipeline(StandardScaler(), KNeighborsRegressor(3))
    knn.fit(table.loc[trained].to_numpy(), effects_of(adata, trained))
    others = [p for p in part["test"] if p != lost[2]]
    want = knn.predict(table.loc[others].to_numpy())
    np.testing.assert_allclose(np.delete(got, 1, axis=0), want, atol=1e-5)


def test_few_perturbations() -> None:
    """Fewer than neighbours, than inner folds: as many as there can be."""
    adata = split(effect_screen(5), n_folds=2)
    model = ps.tl.fit_embedding_regression(adata, perturbation_embedding="true")
    assert len(sides(adata)["train"]) - 1 >= model.selected["x"] >= 1
    assert np.isfinite(predicted(adata)).all()
    tiny = split(effect_screen(3), n_folds=3)
    model = ps.tl.fit_embedding_regression(tiny, perturbation_embedding="true", n_inner_folds=9)
    assert model.selected == {"x": 1.0}


def test_constant_columns_say_nothing() -> None:
    adata = effect_screen()
    table = table_of(adata, "true")
    add(adata, table.assign(a=1e8, b=0.1), "constant")
    split(adata)
    for name in ("true", "constant"):
        ps.tl.fit_embedding_regression(adata, perturbation_embedding=name, key_added=name)
    np.testing.assert_array_equal(predicted(adata, key="true"), predicted(adata, key="constant"))
    add(adata, table * 0 + 0.1, "nothing")
    with refused(adata, ValueError, "nothing can be learned from 'nothing'"):
        ps.tl.fit_embedding_regression(adata, perturbation_embedding="nothing")


def test_no_vector_on_one_side() -> None:
    adata = split(effect_screen())
    part, table = sides(adata), table_of(adata, "true")
    add(adata, table.loc[part["train"]], "train")
    add(adata, table.loc[part["test"]], "test")
    with refused(
        adata, ValueError, r"none of the 10 held-out condition\(s\) has a vector in 'train'"
    ):
        ps.tl.fit_embedding_regression(adata, perturbation_embedding="train")
    with refused(
        adata, ValueError, r"none of the 40 training condition\(s\) has a vector in 'test'"
    ):
        ps.tl.fit_embedding_regression(adata, perturbation_embedding="test")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"regressor": "svm"}, "`regressor`='svm' must be one of"),
        ({"join": "sum"}, "`join`='sum' must be one of"),
        ({"metric": "l1"}, "`metric`='l1' must be one of"),
        ({"weights": "rank"}, "`weights`='rank' must be one of"),
        ({"metric": "tanimoto", "regressor": "ridge"}, "is for `regressor`='knn'"),
        ({"n_neighbors": []}, r"`n_neighbors`=\[\] must be positive"),
        ({"n_neighbors": [0, 3]}, "`n_neighbors`=.* must be positive"),
        ({"penalties": [0.0]}, "`penalties`=.* must be positive"),
        ({"penalties": []}, r"`penalties`=\[\] must be positive"),
        ({"n_components": 0}, "`n_components`=0 must be positive"),
        ({"n_hidden": 0}, "`n_hidden`=0 must be positive"),
        ({"l1_ratio": 0.0}, "`l1_ratio`=0.0 must be above 0"),
        ({"n_inner_folds": 1}, "`n_inner_folds`=1 must be at least 2"),
        ({"perturbation_embedding": []}, "must name embeddings"),
    ],
)
def test_refusals(settings, match) -> None:
    adata = split(effect_screen(10))
    with refused(adata, ValueError, match):
        ps.tl.fit_embedding_regression(adata, **({"perturbation_embedding": "true"} | settings))


def test_penalties_by_default(tmp_path) -> None:
    """Those of labels reach further down; a saved model has what it was asked for."""
    assert min(RegressionOptions(regressor="logistic").candidates(9, 5)) == 1e-7
    for regressor, grid in (("ridge", [1e-3, 1e-2, 0.1, 1, 10, 100]), ("knn", [5.0])):
        options = RegressionOptions(regressor=regressor, n_neighbors=(5,))
        assert options.candidates(9, 5) == grid
    adata = split(effect_screen(20))
    for settings in ({}, {"penalties": np.array([0.1, 1.0])}):
        model = ps.models.EmbeddingRegression(
            adata, perturbation_embedding="true", regressor="ridge", **settings
        )
        model.train()
        model.save(tmp_path / str(len(settings)))
        again = ps.models.EmbeddingRegression.load(tmp_path / str(len(settings)), adata)
        assert again.settings["penalties"] == (list(settings.get("penalties", [])) or None)
        np.testing.assert_array_equal(again.predict().X, model.predict().X)


def test_no_such_embedding() -> None:
    adata = split(effect_screen(10))
    with refused(adata, KeyError, "no perturbation embedding 'tru'; nearest: 'true'"):
        ps.tl.fit_embedding_regression(adata, perturbation_embedding="tru")
    table = table_of(adata, "true")
    add(adata, table, "a")
    ps.pp.add_perturbation_embedding(adata, table, "b", combine="mean")
    with refused(adata, ValueError, r"combine perturbations by \['mean', 'sum'\]"):
        ps.tl.fit_embedding_regression(adata, perturbation_embedding=["a", "b"])
    nan = table.copy()
    nan.iloc[0, 0] = np.nan
    with refused(adata, ValueError, r"1 row\(s\) hold NaN"):
        ps.pp.add_perturbation_embedding(adata, nan, "nan")
