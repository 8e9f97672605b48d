"""Out-of-fold predictions: those of one fit per fold, and their bounds."""

from __future__ import annotations

import functools
import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsRegressor
from tests.helpers import fingerprint, refused
from tests.models.response.known_effects import add, effect_screen, split, table_of

import pertscope as ps
from pertscope.models.interruption import TrainingInterruptedWarning
from pertscope.tl import _cross_validate

NEIGHBORS = [2, 4, 7, 11]


def kept(adata) -> dict[str, np.ndarray]:
    return {k: p.X for k, p in adata.uns["pertscope"]["predictions"].items()}


@pytest.mark.parametrize("regressor", ["knn", "lasso"])
def test_one_fit_per_fold(regressor) -> None:
    settings = {"n_neighbors": NEIGHBORS, "n_hidden": 4, "n_components": 5}
    adata = effect_screen(40, contexts=("x", "y"))
    table = table_of(adata, "true").drop(["p001", "p017"])
    add(adata, table, "few")
    folds = adata.copy()
    with pytest.warns(UserWarning, match=r"'few' for 4 of 80 cross-validated .*'x\|p001'"):
        ps.tl.cross_validate(adata, regressor, ["true", "few"], n_folds=3, seed=2, **settings)
    assert list(kept(adata)) == [f"{regressor}_true", f"{regressor}_few"]
    for fold in range(3):
        split(folds, n_folds=3, fold=fold, seed=2)
        here = folds.obs_names[folds.obs["split"] == "test"]
        assert set(here) == set(adata.obs_names[adata.obs["fold"] == str(fold)])
        model = ps.models.EmbeddingRegression(
            folds, perturbation_embedding="few", regressor=regressor, seed=2, **settings
        )
        with pytest.warns(UserWarning, match="no vector"):
            model.train()
        got = ps.get.prediction(adata, f"{regressor}_few")[here].X
        np.testing.assert_allclose(got, model.predict()[here].X, atol=1e-5)


def test_cells() -> None:
    """The same from cells as from their effects, on top of the controls; combinations as well."""
    adata = ps.datasets.simulate_screen(
        n_perturbations=8, n_combinations=6, n_genes=15, n_cells_per_condition=5, seed=3
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    names = sorted({p for label in adata.obs["perturbation"] for p in label.split("+")})
    names.remove("control")
    add(adata, pd.DataFrame(np.random.default_rng(0).normal(size=(8, 3)), index=names), "e")
    effects = ps.tl.effects(adata)
    for each in (adata, effects):
        ps.tl.cross_validate(each, "knn", "e", n_neighbors=[2])
    got, want = ps.get.prediction(adata, "knn_e"), ps.get.prediction(effects, "knn_e")
    controls = pd.DataFrame(adata.to_df()[(adata.obs["perturbation"] == "control").to_numpy()])
    means = controls.groupby(adata.obs["cell_type"].astype(str).loc[controls.index]).mean()
    base = means.loc[got.obs["cell_type"].astype(str)].to_numpy()
    np.testing.assert_allclose(got.X - base, want[got.obs_names].X, atol=1e-5)
    fold = adata.obs.groupby("perturbation", observed=True)["fold"].agg(lambda f: f.iloc[0])
    assert pd.isna(fold["control"])
    for label in fold.index.drop("control"):
        assert fold[label] == min(fold.get(p, fold[label]) for p in label.split("+"))
    combination = next(p for p in fold.index if "+" in p)
    part = combination.split("+")[0]
    split(effects, fold=int(fold[combination]))
    trained = effects.obs["perturbation"][effects.obs["split"] == "train"]
    assert combination not in set(trained)
    assert part in set(fold.index)
    model = ps.models.EmbeddingRegression(effects, perturbation_embedding="e", n_neighbors=[2])
    model.train()
    again = model.predict([combination])
    np.testing.assert_allclose(want[again.obs_names].X, again.X, atol=1e-6)


def test_bounds() -> None:
    adata = effect_screen(60, contexts=("x", "y"), noise=0.1)
    ps.tl.cross_validate(
        adata,
        "knn",
        "true",
        bounds=["train_mean", "no_change", "random", "idealised"],
        n_neighbors=[3, 10, 40],
    )
    assert list(kept(adata)) == [
        "knn_true",
        "train_mean",
        "no_change",
        "knn_random",
        "knn_idealised",
    ]
    assert not kept(adata)["no_change"].any()
    prediction = ps.get.prediction(adata, "train_mean")
    fold, line = adata.obs["fold"], adata.obs["line"]
    for name in ("x|p003", "y|p011"):
        context = name.split("|")[0]
        others = (line == context) & (fold != fold[name]) & fold.notna()
        want = adata[others].X.mean(axis=0)
        np.testing.assert_allclose(prediction[name].X[0], want, atol=1e-6)
    ps.ev.rank_metrics(adata, distances=[("rmse", "effect")], split=None)
    ps.ev.error_metrics(adata, metrics=["cosine", "l2"], statistics=["effect"], split=None)
    scores = ps.get.scores(adata)["mean"]
    error = scores["l2_effect"]
    assert error["knn_idealised"] < error["knn_true"] < 0.8 * error["train_mean"]
    assert 0.97 < error["knn_random"] / error["train_mean"] < 1.05
    assert error["train_mean"] < error["no_change"]
    assert scores.loc["knn_true", "rmse_rank_effect"] < 0.2
    assert 0.35 < scores.loc["knn_random", "rmse_rank_effect"] < 0.65


def test_idealised_is_a_pca_of_all_effects() -> None:
    adata = effect_screen(40)
    ps.tl.cross_validate(adata, "knn", bounds=["idealised"], n_neighbors=[4])
    here = adata[adata.obs["fold"].notna()]
    z, fold = PCA(12).fit_transform(np.asarray(here.X, np.float64)), here.obs["fold"].to_numpy()
    got = ps.get.prediction(adata, "knn_idealised")[here.obs_names].X
    for f in np.unique(fold):
        test = fold == f
        knn = KNeighborsRegressor(4).fit(z[~test], here.X[~test])
        np.testing.assert_allclose(got[test], knn.predict(z[test]), atol=1e-5)


def test_what_is_written(tmp_path) -> None:
    adata = effect_screen(20)
    x, other = fingerprint(adata.X), adata.copy()
    assert ps.tl.cross_validate(adata, "knn", "true", n_neighbors=[3]) is None
    assert fingerprint(adata.X) == x
    fold = adata.obs["fold"]
    assert fold.cat.categories.tolist() == list("01234")
    assert fold.isna().equals(adata.obs["gene"] == "control")
    assert fold.value_counts().eq(4).all()
    how = json.loads(adata.uns["pertscope"]["splits"]["fold"])
    assert how == {"function": "cross_validate", "n_folds": 5, "seed": 0}
    ps.tl.cross_validate(adata, "knn", "true", n_neighbors=[2], key_added="mine")
    adata.write_h5ad(tmp_path / "screen.h5ad")
    again = ad.read_h5ad(tmp_path / "screen.h5ad")
    ps.tl.cross_validate(again, "ridge", "true")  # the folds are the same
    assert set(kept(again)) == {"knn_true", "mine_true", "ridge_true"}
    with refused(again, ValueError, r"`.obs\['fold'\]` holds other folds"):
        ps.tl.cross_validate(again, "ridge", "true", seed=1)
    ps.tl.cross_validate(other, "knn", "true", n_neighbors=[3])
    assert fingerprint(kept(other)) == fingerprint({"knn_true": kept(adata)["knn_true"]})
    mine = effect_screen(20)
    mine.obs["fold"] = "my own"
    with refused(mine, ValueError, "holds other folds"):
        ps.tl.cross_validate(mine, "knn", "true")


def test_several_embeddings() -> None:
    adata = effect_screen(30)
    table = table_of(adata, "true")
    add(adata, table.iloc[:, :3], "a")
    add(adata, table.iloc[4:, 3:], "b")
    ps.tl.cross_validate(adata, "ridge", ["a", ["a", "b"]], penalties=[0.1])
    assert list(kept(adata)) == ["ridge_a", "ridge_a+b"]
    split(adata, fold=3)
    model = ps.tl.fit_embedding_regression(
        adata, perturbation_embedding=["a", "b"], regressor="ridge", penalties=[0.1]
    )
    want = model.predict()
    got = ps.get.prediction(adata, "ridge_a+b")[want.obs_names]
    np.testing.assert_allclose(got.X, want.X, atol=1e-6)


TINY_FUSION = {"n_dims": 8, "n_layers": 1, "n_heads": 2, "max_epochs": 3, "accelerator": "cpu"}
TINY_NETWORK = {"n_hidden": 8, "n_latent": 4, "max_epochs": 2, "accelerator": "cpu"}


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("embedding_fusion", TINY_FUSION),
        ("latent_additive", TINY_NETWORK),
        ("embedding_regression", {"regressor": "ridge", "penalties": [0.1]}),
    ],
)
def test_any_model(model, settings) -> None:
    """As fitted to each fold by hand, with a fifth of the perturbations to stop by."""
    adata = effect_screen(20, contexts=("x", "y"))
    adata.layers["control_mean"] = np.zeros_like(adata.X)  # as `tl.effects` tells its screens
    ps.tl.cross_validate(adata, model, ["true"], n_folds=3, seed=2, **settings)
    assert list(kept(adata)) == [f"{model}_true"]
    folds = adata.copy()
    share = 0.0 if model == "embedding_regression" else 0.2
    for fold in range(3):
        split(folds, n_folds=3, fold=fold, seed=2, val_fraction=share)
        getattr(ps.tl, f"fit_{model}")(folds, perturbation_embedding="true", seed=2, **settings)
        here = folds.obs_names[folds.obs["split"] == "test"]
        assert set(here) == set(adata.obs_names[adata.obs["fold"] == str(fold)])
        want = ps.get.prediction(folds, model)[here].X
        np.testing.assert_allclose(
            ps.get.prediction(adata, f"{model}_true")[here].X, want, atol=1e-6
        )
    regressed = effect_screen(20, contexts=("x", "y"))
    if model == "embedding_regression":
        ps.tl.cross_validate(regressed, "ridge", "true", n_folds=3, seed=2, penalties=[0.1])
        np.testing.assert_allclose(
            kept(regressed)["ridge_true"], kept(adata)[f"{model}_true"], atol=1e-6
        )


def test_any_model_of_cells_and_combinations() -> None:
    adata = ps.datasets.simulate_screen(
        n_perturbations=8, n_combinations=4, n_genes=15, n_cells_per_condition=5, seed=3
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    names = sorted({p for label in adata.obs["perturbation"] for p in label.split("+")})
    names.remove("control")
    add(adata, pd.DataFrame(np.random.default_rng(0).normal(size=(8, 3)), index=names), "e")
    before = fingerprint([adata.X, adata.layers, adata.uns["pertscope"]["screen"]])
    bounds = ["train_mean", "random"]
    ps.tl.cross_validate(adata, "context_mlp", "e", bounds=bounds, n_hidden=4, max_epochs=2)
    ps.tl.cross_validate(adata, "latent_additive", "e", **TINY_NETWORK)
    assert fingerprint([adata.X, adata.layers, adata.uns["pertscope"]["screen"]]) == before
    assert "split" not in adata.obs
    assert list(kept(adata)) == ["context_mlp_e", "train_mean", "knn_random", "latent_additive_e"]
    n = adata[adata.obs["perturbation"] != "control"].obs.groupby(
        ["cell_type", "perturbation"], observed=True
    )
    assert all(len(x) == n.ngroups and np.isfinite(x).all() for x in kept(adata).values())


def test_bounds_of_other_settings_stay() -> None:
    """A model that is no regressor does not make them again, in the same folds."""
    adata = effect_screen(20)
    ps.tl.cross_validate(adata, "knn", bounds=["random", "idealised"], n_neighbors=[3])
    before = fingerprint(kept(adata))
    bounds, settings = ["random", "train_mean"], {"regressor": "ridge", "penalties": [0.1]}
    ps.tl.cross_validate(adata, "embedding_regression", "true", bounds=bounds, **settings)
    found = kept(adata)
    assert list(found)[2:] == ["embedding_regression_true", "train_mean"]
    assert fingerprint({k: found[k] for k in list(found)[:2]}) == before
    del adata.obs["fold"]  # of other folds they are others
    ps.tl.cross_validate(
        adata, "embedding_regression", "true", bounds="random", n_folds=4, **settings
    )
    assert fingerprint(kept(adata)["knn_random"]) != fingerprint(found["knn_random"])


def test_networks_need_a_perturbation_to_stop_by() -> None:
    adata = effect_screen(2)
    with refused(adata, ValueError, "fold 0 leaves 1 perturbation.*'embedding_fusion' takes at l"):
        ps.tl.cross_validate(adata, "embedding_fusion", "true", n_folds=2, **TINY_FUSION)
    three = effect_screen(3)
    ps.tl.cross_validate(three, "embedding_fusion", "true", n_folds=3, **TINY_FUSION)
    assert np.isfinite(kept(three)["embedding_fusion_true"]).all()


def test_any_model_interrupted(monkeypatch) -> None:
    """Training that is stopped is no training of this fold: what was done before stays."""
    adata = effect_screen(20)
    add(adata, table_of(adata, "random"), "noise")
    train, calls = ps.models.EmbeddingFusion.train, []

    def stop(*_) -> None:
        if len(calls) == 7:
            raise KeyboardInterrupt

    @functools.wraps(train)
    def stopped(self, **settings):
        calls.append(1)
        train(self, **settings, on_epoch=stop)

    monkeypatch.setattr(ps.models.EmbeddingFusion, "train", stopped)
    with pytest.warns(TrainingInterruptedWarning, match="1 of 2 predictions were done"):
        ps.tl.cross_validate(adata, "embedding_fusion", ["true", "noise"], **TINY_FUSION)
    assert list(kept(adata)) == ["embedding_fusion_true"]


def test_any_model_without_some_vectors() -> None:
    adata = effect_screen(20)
    add(adata, table_of(adata, "true").drop(["p001", "p017"]), "few")
    with pytest.warns(UserWarning, match=r"'few' for 2 of 20 cross-validated") as told:
        ps.tl.cross_validate(
            adata, "embedding_fusion", ["few"], bounds=["train_mean"], **TINY_FUSION
        )
    assert len(told) == 1
    got = ps.get.prediction(adata, "embedding_fusion_few")["x|p001"].X[0]
    folds = split(adata.copy(), fold=int(adata.obs["fold"]["x|p001"]), val_fraction=0.2)
    train = (folds.obs["split"] == "train") & (folds.obs["gene"] != "control")
    np.testing.assert_allclose(got, folds[train].X.mean(axis=0), atol=1e-6)


def test_networks_of_cells_without_some_vectors() -> None:
    """What has no vector is left out in training, and predicted by the mean."""
    adata = effect_screen(20)
    adata.layers["control_mean"] = np.zeros_like(adata.X)
    add(adata, table_of(adata, "true").drop(["p001", "p017"]), "few")
    with pytest.warns(UserWarning, match=r"'few' for 2 of 20 cross-validated"):
        ps.tl.cross_validate(
            adata, "latent_additive", ["few"], bounds=["train_mean"], **TINY_NETWORK
        )
    got, mean = (
        ps.get.prediction(adata, "latent_additive_few"),
        ps.get.prediction(adata, "train_mean"),
    )
    lost = got.obs["gene"].isin(["p001", "p017"]).to_numpy()
    np.testing.assert_allclose(got[lost].X, mean[got.obs_names[lost]].X, atol=1e-6)
    assert not np.isclose(got[~lost].X, mean[got.obs_names[~lost]].X).all(axis=1).any()
    # what they do says nothing to those that have vectors
    other = adata.copy()
    for key in ("predictions", "splits"):
        other.uns["pertscope"].pop(key)
    other.X[other.obs["gene"].isin(["p001", "p017"]).to_numpy()] += 3.0
    with pytest.warns(UserWarning, match="no vector"):
        ps.tl.cross_validate(other, "latent_additive", ["few"], **TINY_NETWORK)
    again = ps.get.prediction(other, "latent_additive_few")
    np.testing.assert_array_equal(again[got.obs_names[~lost]].X, got[~lost].X)
    assert not np.allclose(again[got.obs_names[lost]].X, got[lost].X)


def test_interrupted(monkeypatch) -> None:
    adata = effect_screen(20)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_cross_validate, "_bound", stop)
    with pytest.warns(TrainingInterruptedWarning, match="1 of 2 predictions were done"):
        ps.tl.cross_validate(adata, "knn", "true", bounds=["random"], n_neighbors=[3])
    assert list(kept(adata)) == ["knn_true"]
    assert adata.obs["fold"].nunique() == 5
    nothing = effect_screen(20)
    with pytest.raises(KeyboardInterrupt):
        ps.tl.cross_validate(nothing, bounds=["random"])
    assert "fold" not in nothing.obs


def test_a_later_embedding_that_fails_leaves_nothing() -> None:
    adata = effect_screen(20)
    add(adata, table_of(adata, "true") * 0, "constant")
    with refused(adata, ValueError, "nothing can be learned from 'constant'"):
        ps.tl.cross_validate(adata, "knn", ["true", "constant"], n_neighbors=[3])


def test_lines_with_other_perturbations() -> None:
    """What one line is trained on is not what another is; features are learned for each."""
    adata = effect_screen(40, contexts=("x", "y"))
    number = adata.obs["gene"].astype(str).str[1:]
    odd = (adata.obs["line"] == "y") & number.str.isdigit() & number.str.contains("[13579]$")
    both = adata[~odd].copy()
    alone = both[both.obs["line"] == "y"].copy()
    for each in (adata, both):
        ps.tl.cross_validate(each, "ridge", "true", penalties=[0.1])
    x = [f"x|p{i:03d}" for i in range(40)]
    got, want = (ps.get.prediction(a, "ridge_true")[x].X for a in (both, adata))
    np.testing.assert_array_equal(got, want)
    fold = both.obs["fold"].loc[alone.obs_names]
    for f in "01234":
        alone.obs["split"] = np.where(fold == f, "test", "train")
        model = ps.tl.fit_embedding_regression(
            alone, perturbation_embedding="true", regressor="ridge", penalties=[0.1]
        )
        here = alone.obs_names[fold == f]
        got = ps.get.prediction(both, "ridge_true")[here].X
        np.testing.assert_allclose(got, model.predict()[here].X, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("knn", "tru"), KeyError, "no perturbation embedding 'tru'; nearest: 'true'"),
        (("svm", "true"), ValueError, "`model`='svm' must be one of"),
        (("additive", "true"), ValueError, "a model that takes a `perturbation_embedding`"),
        (("embedding_fusion", "true", {"k": 3}), ValueError, "there is no setting 'k'; "),
        (
            ("latent_additive", [["true", "random"]]),
            ValueError,
            "'latent_additive' takes one embedding",
        ),
        (("knn",), ValueError, "there is nothing to compare"),
        (("knn", ["true", "true"]), ValueError, "two would be called 'knn_true'"),
        (("knn", "random", {"bounds": ["random"]}), ValueError, "be called 'knn_random'"),
        (("knn", "random"), ValueError, "'knn_random' would read as a bound.*another name"),
        (("knn", "my_idealised"), ValueError, "'knn_my_idealised' would read as a bound"),
        (("knn", "mean", {"key_added": "train"}), ValueError, "'train_mean' would read as a b"),
        (("knn", [["true", "true"]]), ValueError, r"\['true', 'true'\] must name .*each once"),
        (("knn", [[]]), ValueError, r"`embeddings`: \[\] must name embeddings"),
        (("knn", "true", {"bounds": "mean"}), ValueError, "'mean' must be one of"),
        (("knn", "true", {"n_neighbors": 3}), TypeError, "`n_neighbors`=3 must be a list"),
        (("ridge", "true", {"penalties": 0.1}), TypeError, "`penalties`=0.1 must be a list"),
        (("knn", "true", {"n_folds": 5.0}), TypeError, "`n_folds`=5.0 must be an integer"),
        (("knn", [], {"bounds": ["ceiling"]}), ValueError, "'ceiling' must be one of"),
        (("knn", "true", {"k": 3}), ValueError, "there is no setting 'k'; "),
        (("knn", "true", {"n_folds": 21}), ValueError, "at most the 20 perturbations"),
        (("knn", "true", {"alias": {"p001": "p002"}}), ValueError, "more than one label"),
        (("knn", "true", {"key_added": "a/b"}), ValueError, "cannot be stored"),
    ],
)
def test_refusals(arguments, error, match) -> None:
    adata = effect_screen(20)
    for name in ("my_idealised", "mean"):
        add(adata, table_of(adata, "true"), name)
    *positional, keys = arguments if isinstance(arguments[-1], dict) else (*arguments, {})
    with refused(adata, error, match):
        ps.tl.cross_validate(adata, *positional, **keys)


def test_what_cannot_be_learned() -> None:
    adata = effect_screen(20)
    add(adata, table_of(adata, "true") * 0 + 1, "flat")
    with pytest.raises(ValueError, match="nothing can be learned from 'flat'"):
        ps.tl.cross_validate(adata, "knn", "flat")
    alone = adata.copy()
    alone.obs["line"] = alone.obs["line"].cat.add_categories("z")
    alone.obs.loc[["x|p003"], "line"] = "z"
    control = alone[["x|control"]].copy()
    control.obs["line"], control.obs_names = "z", ["z|control"]
    both = ad.concat([alone, control])
    ps.pp.register(both, perturbation_key="gene", covariate_keys=["line"])
    with refused(both, ValueError, r"nothing to train on where 'z\|p003' are held out"):
        ps.tl.cross_validate(both, "knn", bounds=["random"])
