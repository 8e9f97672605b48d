"""Models that go on: trained again, loaded elsewhere, asked for what they cannot know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.helpers import refused
from tests.models.small import BASELINES, NETWORKS, add_random_embedding, make, small_screen, train
from tests.models.test_doses import screen as dose_screen
from tests.models.test_inputs import SEES, embedded_screen, with_rep

import pertscope as ps
from pertscope.models.checkpoint import Checkpoint
from pertscope.models.files import replaced


@pytest.mark.parametrize("name", NETWORKS)
def test_training_goes_on(name) -> None:
    """A second call continues the history, and never ends with a worse validation loss."""
    settings = {"warmup_epochs": 0} if name == "cpa" else {}
    model = train(make(name, small_screen(), **settings), max_epochs=3, lr=1e-2)
    best = model.history["val_loss"].min()
    before = {k: v.copy() for k, v in model._arrays().items()}
    train(model, max_epochs=2, lr=1e-2)
    assert model.history.index.tolist() == [0, 1, 2, 3, 4]
    assert any(not np.array_equal(before[k], v) for k, v in model._arrays().items())
    assert model.history["val_loss"].min() <= best
    kept = {k: v.copy() for k, v in model._arrays().items()}
    train(model, max_epochs=2, lr=10.0, gradient_clip=1e-3)  # nothing good comes of it
    worse = model.history["val_loss"].iloc[-2:].min() > model.history["val_loss"].iloc[:-2].min()
    same = all(np.array_equal(kept[k], v) for k, v in model._arrays().items())
    assert worse == same


def test_loaded_models_go_on(tmp_path) -> None:
    adata = small_screen()
    model = train(make("latent_additive", adata), max_epochs=2)
    model.save(tmp_path / "m")
    loaded = type(model).load(tmp_path / "m", adata)
    for m in (model, loaded):
        train(m, max_epochs=2)
    assert loaded.history.equals(model.history)
    for k, v in model._arrays().items():
        np.testing.assert_array_equal(loaded._arrays()[k], v)


def test_what_was_refused_leaves_the_model_as_it_was() -> None:
    model = train(make("latent_additive", small_screen()))
    before = model.predict().X
    with pytest.raises(Exception, match="quantum"):
        train(model, accelerator="quantum")
    assert not model.module.training  # dropout would draw
    np.testing.assert_array_equal(model.predict().X, before)


def test_scale_is_checked_wherever_cells_come_in(tmp_path) -> None:
    adata = small_screen()
    model = train(make("linear", adata))
    model.save(tmp_path / "m")
    counts = adata.copy()
    counts.X = counts.layers["counts"].copy()
    with pytest.raises(ValueError, match="holds integer counts"):
        model.predict(adata=counts)
    with pytest.raises(ValueError, match="holds integer counts"):
        type(model).load(tmp_path / "m", counts)


def test_doses_must_agree(tmp_path) -> None:
    adata = dose_screen(n=6)
    model = train(ps.models.Linear(adata), max_epochs=1)
    model.save(tmp_path / "m")
    ps.pp.register(adata, perturbation_key="drug", covariate_keys=["line"])
    with pytest.raises(ValueError, match="was trained with doses: register the screen likewise"):
        ps.models.Linear.load(tmp_path / "m", adata)


def test_baselines_and_doses() -> None:
    """They do not look at doses, so missing ones do no harm; asked for one they say so."""
    adata = dose_screen(n=6)
    adata.obs.loc[adata.obs["drug"] == "d0", "dose"] = np.nan
    add_random_embedding(adata)
    for name in BASELINES:
        model = make(name, adata)
        train(model)
        assert model.predict().n_obs
        with pytest.raises(ValueError, match=r"`dose`=3\.0, but .* knows no doses"):
            model.predict(dose=3.0)


def test_a_screen_of_new_perturbations(tmp_path) -> None:
    """What perturbation vectors are for."""
    adata = embedded_screen(n=12)
    model = train(ps.models.LatentAdditive(adata, perturbation_embedding="known"), max_epochs=1)
    model.save(tmp_path / "m")
    new = adata[adata.obs["perturbation"].isin(["control", "g08", "g09"])].copy()
    assert not {"g08", "g09"} & set(model.vocabulary.perturbations)
    loaded = type(model).load(tmp_path / "m", new)
    assert loaded.predict(["g08", "g09"]).n_obs == 2


def test_representation_of_another_width(tmp_path) -> None:
    adata = with_rep(5)
    model = train(make("latent_additive", adata, use_rep="X_rep"))
    model.save(tmp_path / "m")
    other = with_rep(7)
    with pytest.raises(ValueError, match="do not fit cells of 7 input dimensions"):
        type(model).load(tmp_path / "m", other)
    del other.obsm["X_rep"]
    with pytest.raises(KeyError, match=r"`\.obsm` has no 'X_rep'"):
        type(model).load(tmp_path / "m", other)


@pytest.mark.parametrize("name", SEES)
def test_screens_with_a_representation_of_another_width(name) -> None:
    adata, narrow = with_rep(5), with_rep(3)
    model = train(make(name, adata, use_rep="X_rep"))
    calls = [model.predict]
    if name != "latent_additive":
        calls.append(model.get_latent_representation)
    match = r"`\.obsm\['X_rep'\]` has 3 dimensions, the model was trained with 5"
    for call in calls:
        with refused(narrow, ValueError, match):
            call(adata=narrow)
    adata.obsm["X_rep"] = adata.obsm["X_rep"][:, :3]  # its own screen is no longer what it was
    for call in calls:
        with refused(adata, ValueError, match):
            call()
    assert model.predict(adata=with_rep(5)).n_obs


@pytest.mark.parametrize("change", ["values", "representation", "vectors"])
def test_checkpoints_of_other_data_are_refused(change, tmp_path) -> None:
    class StoppedError(Exception):
        pass

    def stop(epoch: int, losses: dict[str, float]) -> None:
        if epoch == 1:
            raise StoppedError

    def model_of(adata):
        adata.obsm["X_rep"] = np.asarray(adata.X[:, :5], np.float32)
        return ps.models.LatentAdditive(adata, use_rep="X_rep", perturbation_embedding="known")

    how = {"checkpoint": tmp_path / "run", "checkpoint_seconds": 0, "max_epochs": 3}
    with pytest.raises(StoppedError):
        train(model_of(embedded_screen(n=8)), on_epoch=stop, **how)
    adata = embedded_screen(n=8)
    if change == "values":
        adata.X = adata.X + 0.5
    if change == "vectors":
        vectors = adata.uns["pertscope"]["perturbation_embeddings"]["known"]["table"]
        ps.pp.add_perturbation_embedding(adata, pd.DataFrame(vectors * 2), "known")
    model = model_of(adata)
    if change == "representation":
        adata.obsm["X_rep"] = adata.obsm["X_rep"] + 1
    with pytest.raises(ValueError, match="another training, which differs in data"):
        train(model, **how)


def test_a_kill_between_two_checkpoints(tmp_path) -> None:
    """While one takes the other's place, the old one is still there."""
    point = Checkpoint(tmp_path / "run", {}, 0)
    (tmp_path / "run").mkdir()  # an empty folder is no checkpoint, and no error
    assert point.read() is None
    point.write({"epoch": 1})
    (tmp_path / "run").rename(replaced(tmp_path / "run"))
    assert point.read() == {"epoch": 1}
    point.write({"epoch": 2})
    assert point.read() == {"epoch": 2}
    assert [f.name for f in tmp_path.iterdir()] == ["run"]
    point.remove()
    assert not list(tmp_path.iterdir())
