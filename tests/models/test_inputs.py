"""What networks see besides expression, and what their outputs mean."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.helpers import dense, fingerprint
from tests.models.small import make, small_screen, train

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope.data.rows import Rows
from pertscope.models.feeding import matched_batches

SEES = ("latent_additive", "cpa", "sams_vae", "biolord")
TAKES_VECTORS = ("linear", "latent_additive", "decoder_only", "cpa", "biolord")
NOT_ADVERSARIAL = {"cpa": {"adversarial": False}}


def with_rep(n: int = 5) -> ad.AnnData:
    adata = small_screen()
    rng = np.random.default_rng(0)
    adata.obsm["X_rep"] = dense(adata.X) @ rng.normal(size=(adata.n_vars, n)).astype(np.float32)
    return adata


# ------------------------------------------------------------------------------- representations


@pytest.mark.parametrize("name", SEES)
def test_the_encoder_sees_the_representation_alone(name, tmp_path) -> None:
    adata = with_rep()
    model = train(make(name, adata, use_rep="X_rep"))
    want = fingerprint(model.predict())
    other = adata.copy()
    other.X = other.X * 2  # nothing of expression goes into a prediction
    assert fingerprint(model.predict(adata=other)) == want
    other.obsm["X_rep"] = other.obsm["X_rep"] + 1
    assert fingerprint(model.predict(adata=other)) != want
    model.save(tmp_path / "m")
    assert fingerprint(type(model).load(tmp_path / "m", adata).predict()) == want
    if name != "latent_additive":
        latent = model.get_latent_representation()
        assert latent.shape[0] == adata.n_obs
        assert not np.array_equal(latent, model.get_latent_representation(other))


def test_representations_go_with_their_cells() -> None:
    """Also that of the control, which is drawn anew in every epoch."""
    adata = small_screen()
    number = np.arange(adata.n_obs, dtype=np.float32)[:, None]
    conditions = screen_conditions(adata, Screen.of(adata))
    batches = matched_batches(
        Rows(number),
        conditions,
        conditions.codes,
        np.ones(adata.n_obs, bool),
        batch_size=7,
        shuffle=True,
        seed=0,
        representation=10 * number,
    )
    for _ in range(2):
        for batch in batches:
            np.testing.assert_array_equal(batch.seen0, 10 * batch.x0)
            np.testing.assert_array_equal(batch.seen, 10 * batch.x)


def test_bad_representations() -> None:
    adata = with_rep()
    with pytest.raises(KeyError, match=r"`\.obsm` has no 'X_scgpt'"):
        make("latent_additive", adata, use_rep="X_scgpt")
    adata.obsm["X_rep"][3, 1] = np.nan
    with pytest.raises(ValueError, match=r"`\.obsm\['X_rep'\]` must be a table of finite numbers"):
        make("latent_additive", adata, use_rep="X_rep")


# ------------------------------------------------------------------------- perturbation vectors


def embedded_screen(*, n: int = 40, seed: int = 0) -> ad.AnnData:
    """Effects are a linear function of known vectors; the last tenth of perturbations is test."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 4)).astype(np.float32)
    to_genes = rng.normal(size=(4, 15)) * 0.7
    labels = np.array([f"g{i:02d}" for i in range(n)])
    x, obs = [], []
    for i in range(-1, n):
        m = 150 if i < 0 else 20
        effect = 0 if i < 0 else vectors[i] @ to_genes
        x.append(3 + effect + 0.2 * rng.normal(size=(m, 15)))
        obs += [("control" if i < 0 else labels[i],)] * m
    table = pd.DataFrame(obs, columns=["perturbation"], index=[f"c{i}" for i in range(len(obs))])
    adata = ad.AnnData(np.concatenate(x).astype(np.float32), obs=table)
    ps.pp.register(adata)
    ps.pp.add_perturbation_embedding(adata, pd.DataFrame(vectors, index=labels), "known")
    held = table["perturbation"].isin(labels[-4:])
    part = np.where(rng.random(len(table)) < 0.2, "val", "train")
    adata.obs["split"] = np.where(held, "test", part)
    return adata


@pytest.mark.parametrize("name", TAKES_VECTORS)
def test_unseen_perturbations_are_predicted_from_their_vectors(name, tmp_path, capsys) -> None:
    adata = embedded_screen()
    widths = {} if name == "linear" else {"n_hidden": 64, "dropout": 0.0}
    settings = widths | NOT_ADVERSARIAL.get(name, {})
    model = getattr(ps.tl, f"fit_{name}")(
        adata,
        perturbation_embedding="known",
        max_epochs=60,
        lr=5e-3,
        batch_size=64,
        accelerator="cpu",
        **settings,
    )
    unseen = ["g36", "g37", "g38", "g39"]
    assert not set(unseen) & set(model.vocabulary.perturbations)
    prediction = model.predict(unseen)
    control = dense(adata[adata.obs["perturbation"] == "control"].X).mean(0)
    for label, row in zip(prediction.obs["perturbation"], prediction.X, strict=True):
        observed = dense(adata[adata.obs["perturbation"] == label].X).mean(0) - control
        found = row - control
        cosine = found @ observed / np.linalg.norm(found) / np.linalg.norm(observed)
        assert cosine > 0.8, (label, cosine)
    # vectors are saved with the model: the screen that it is loaded with needs none
    model.save(tmp_path / "m")
    bare = adata.copy()
    del bare.uns["pertscope"]["perturbation_embeddings"]
    same = type(model).load(tmp_path / "m", bare)
    np.testing.assert_array_equal(
        same.predict(["g39", "g01+g02"]).X, model.predict(["g39", "g01+g02"]).X
    )
    with pytest.raises(ValueError, match=r"no row in the embedding: 'g99'"):
        model.predict(["g99"])


def test_vectors_that_are_missing() -> None:
    adata = embedded_screen(n=8)
    del adata.uns["pertscope"]["perturbation_embeddings"]["known"]
    with pytest.raises(KeyError, match="no perturbation embedding 'known'"):
        ps.models.Linear(adata, perturbation_embedding="known")
    table = pd.DataFrame(np.eye(7, dtype=np.float32), index=[f"g{i:02d}" for i in range(1, 8)])
    ps.pp.add_perturbation_embedding(adata, table, "known")
    with pytest.raises(
        ValueError, match=r"1 perturbation\(s\) have no row in the embedding: 'g00'"
    ):
        ps.models.Linear(adata, perturbation_embedding="known")


def test_an_adversary_needs_names() -> None:
    with pytest.raises(ValueError, match="`adversarial=False` with `perturbation_embedding`"):
        ps.models.CPA(embedded_screen(n=4), perturbation_embedding="known")


# ------------------------------------------------------------------------------------ likelihoods


def counts_screen() -> ad.AnnData:
    adata = ps.datasets.simulate_screen(
        n_perturbations=8,
        n_genes=40,
        n_cells_per_condition=60,
        n_controls=200,
        covariates=("A",),
        effect_size=1.5,
        guide_efficiency=1.0,
        seed=3,
    )
    ps.pp.register(adata, layer="counts" if "counts" in adata.layers else None)
    rng = np.random.default_rng(0)
    adata.obs["split"] = rng.choice(["train", "val", "test"], adata.n_obs, p=[0.6, 0.2, 0.2])
    return adata


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
@pytest.mark.parametrize("name", SEES)
def test_counts(name, likelihood, tmp_path) -> None:
    """Predictions are counts of cells like the controls, nearer to the truth than controls are."""
    adata = counts_screen()
    model = make(name, adata, likelihood=likelihood)
    train(model, max_epochs=40, lr=1e-2, batch_size=64)
    prediction = model.predict()
    x = dense(adata.X if Screen.of(adata).layer is None else adata.layers["counts"])
    control = x[(adata.obs["perturbation"] == "control").to_numpy()]
    assert (prediction.X >= 0).all()
    np.testing.assert_allclose(
        prediction.X.sum(1), control.sum(1).mean(), rtol=0.02 if likelihood == "nb" else 0.2
    )
    errors, floor = [], []
    for label, row in zip(prediction.obs["perturbation"], prediction.X, strict=True):
        observed = x[(adata.obs["perturbation"] == label).to_numpy()].mean(0)
        errors.append(((np.log1p(row) - np.log1p(observed)) ** 2).mean())
        floor.append(((np.log1p(control.mean(0)) - np.log1p(observed)) ** 2).mean())
    assert np.mean(errors) < np.mean(floor)
    model.save(tmp_path / "m")
    same = type(model).load(tmp_path / "m", adata)
    assert fingerprint(same.predict()) == fingerprint(prediction)


@pytest.mark.parametrize("name", SEES)
def test_gaussian(name) -> None:
    model = train(make(name, small_screen(), likelihood="gaussian"), max_epochs=5)
    assert model.predict().shape == model.predict(max_controls=3).shape
    assert model.history["val_loss"].iloc[-1] < model.history["val_loss"].iloc[0]


def test_scales_and_contradictions() -> None:
    counts, logs = counts_screen(), small_screen()
    with pytest.raises(ValueError, match="holds integer counts"):
        make("latent_additive", counts)
    with pytest.raises(ValueError, match=r"holds no counts, which `likelihood='nb'` needs"):
        make("latent_additive", logs, likelihood="nb")
    with pytest.raises(ValueError, match="`likelihood`='poisson' must be one of"):
        make("biolord", logs, likelihood="poisson")
    with pytest.raises(ValueError, match="it cannot go with `use_rep`"):
        make("cpa", counts, likelihood="zinb", use_rep="X_pca")
    with pytest.raises(ValueError, match="`softplus` goes with `likelihood='mse'`"):
        make("cpa", logs, likelihood="gaussian", softplus=True)


# ---------------------------------------------------------------------------------------- matching


@pytest.mark.parametrize("how", [{"n_controls": 4}, {"matching": "transport"}])
def test_ways_to_match(how) -> None:
    model = train(make("latent_additive", small_screen()), **how)
    again = train(make("latent_additive", small_screen()), **how)
    assert fingerprint(model.predict()) == fingerprint(again.predict())
    assert fingerprint(model.predict()) != fingerprint(
        train(make("latent_additive", small_screen())).predict()
    )


def test_val_without_controls() -> None:
    """Of cells a lack that is refused; of effects all there is, so that it takes those of train."""
    adata = small_screen()
    is_control = adata.obs["perturbation"] == "control"
    adata.obs.loc[is_control & (adata.obs["split"] == "val"), "split"] = "test"
    with pytest.raises(ValueError, match=r"no controls in their part of the split: 'A\|"):
        train(make("latent_additive", adata))
    effects = ps.tl.effects(adata)
    effects.obs["split"] = "train"
    effects.obs.loc[effects.obs["perturbation"].isin(["g1+g17", "g2+g7"]), "split"] = "val"
    model = train(make("latent_additive", effects))
    assert np.isfinite(model.history["val_loss"]).all()


def test_bad_matching() -> None:
    with pytest.raises(ValueError, match=r"`matching`='best' must be one of \['random', 'tra"):
        train(make("linear", small_screen()), matching="best")
    with pytest.raises(ValueError, match="`n_controls`=2: CPA learns from single cells"):
        train(make("cpa", small_screen()), n_controls=2)
    with pytest.raises(ValueError, match="`n_controls`=0 must be positive"):
        train(make("linear", small_screen()), n_controls=0)
