"""How networks of effects train: what they are validated on, how they step, when they stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.helpers import fingerprint, refused
from tests.models.response.known_effects import effect_screen, split

import pertscope as ps
from pertscope.models import effect_network, part_effects
from pertscope.models.interruption import TrainingInterruptedWarning

if TYPE_CHECKING:
    import torch

TINY = {"n_hidden": 4}
CPU = {"accelerator": "cpu", "max_epochs": 2}


def made(adata, **settings):
    settings = {"perturbation_embedding": "true", "context": "one_hot", **TINY, **settings}
    return ps.models.ContextMLP(adata, **settings)


@pytest.fixture
def seen(monkeypatch):
    """What every training is given: conditions to train on and to validate on."""
    calls = []
    inner = effect_network.descend

    def noted(module, train, val, **settings):
        calls.append((train, val, settings))
        return inner(module, train, val, **settings)

    monkeypatch.setattr(effect_network, "descend", noted)
    return calls


def rows_of(adata, effects: torch.Tensor) -> set[str]:
    """Conditions whose effects these are."""
    place = {row.tobytes(): name for row, name in zip(adata.X, adata.obs_names, strict=True)}
    return {place[row.astype(np.float32).tobytes()] for row in effects.numpy()}


def in_part(adata, part: str) -> set[str]:
    chosen = (adata.obs["split"] == part) & (adata.obs["gene"] != "control")
    return set(adata.obs_names[chosen])


def test_validated_on_the_val_part(seen) -> None:
    adata = split(effect_screen(20, contexts=("x", "y")), val_fraction=0.25)
    made(adata).train(**CPU)
    (train, val, _), *_ = seen
    assert rows_of(adata, train[1]) == in_part(adata, "train")
    assert rows_of(adata, val[1]) == in_part(adata, "val")


def test_or_on_a_fifth_of_the_perturbations(seen) -> None:
    adata = split(effect_screen(20, contexts=("x", "y")))
    made(adata).train(**CPU)
    made(adata).train(**CPU, val_fraction=0.5)
    made(adata, seed=1).train(**CPU)
    sides = [[rows_of(adata, part[1]) for part in call[:2]] for call in seen]
    for (train, val), n in zip(sides, (3, 8, 3), strict=True):
        names = [{condition.split("|")[1] for condition in side} for side in (train, val)]
        assert not names[0] & names[1]
        assert len(names[1]) == n
        assert train | val == in_part(adata, "train")
    assert sides[0][1] != sides[2][1]


def test_or_of_the_conditions_where_perturbations_were_seen(seen) -> None:
    adata = effect_screen(20, contexts=("x", "y", "z"))
    ps.pp.split_contexts(adata, held_out=[{"line": "z"}])
    with pytest.warns(UserWarning, match="no perturbed condition of 'line=z'"):
        made(adata).train(**CPU)
    (train, val, _), *_ = seen
    found = rows_of(adata, val[1])
    assert len(found) == 8
    assert len({condition.split("|")[1] for condition in found}) > 4
    assert rows_of(adata, train[1]) | found == in_part(adata, "train")


def test_or_of_those_whose_one_hot_perturbations_train_still_applies(seen) -> None:
    adata = effect_screen(20, contexts=("x", "y", "z"))
    ps.pp.split_contexts(adata, held_out=[{"line": "z"}])
    adata.obs.loc[["y|p000", "y|p001", "y|p002"], "split"] = None  # x alone has these
    with pytest.warns(UserWarning, match="no perturbed condition of 'line=z'"):
        made(adata, perturbation_embedding=None).train(**CPU, val_fraction=0.9)
    (train, val, _), *_ = seen
    sides = [rows_of(adata, part[1]) for part in (train, val)]
    assert not sides[0] & sides[1]
    assert {name.split("|")[1] for name in sides[0]} == {f"p{i:03d}" for i in range(20)}
    assert not sides[1] & {"x|p000", "x|p001", "x|p002"}
    assert len(sides[1]) == 17  # one of each pair


def test_or_on_the_training_conditions_where_none_can_be_spared(seen) -> None:
    adata = effect_screen(20, contexts=("x", "y"))
    ps.pp.split_contexts(adata, held_out=[{"line": "y"}])
    with (
        pytest.warns(UserWarning, match="no perturbed condition of 'line=y'"),
        pytest.warns(UserWarning, match="applies each one-hot perturbation once"),
    ):
        made(adata, perturbation_embedding=None).train(**CPU)
    (train, val, _), *_ = seen
    assert rows_of(adata, train[1]) == rows_of(adata, val[1]) == in_part(adata, "train")


def test_what_all_combinations_share_is_not_validated_on(seen) -> None:
    names = ["control", *(f"hub+p{i}" for i in range(6))]
    adata = ad.AnnData(np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32))
    adata.obs["gene"], adata.obs["split"] = names, ["train"] * 6 + ["test"]
    ps.pp.register(adata, perturbation_key="gene")
    table = pd.DataFrame(np.eye(7, 2), index=["hub", *(f"p{i}" for i in range(6))])
    ps.pp.add_perturbation_embedding(adata, table, "true")
    for seed in range(8):  # some draw the hub first
        made(adata, seed=seed).train(accelerator="cpu", max_epochs=1)
    assert [(len(train[1]), len(val[1])) for train, val, _ in seen] == [(4, 1)] * 8


def test_nothing_of_val_is_predicted_from_val() -> None:
    """The mean that unknown conditions get is that of train."""
    adata = split(effect_screen(20), val_fraction=0.5)
    unknown = sorted(name.split("|")[1] for name in in_part(adata, "val"))[:2]
    table = adata.uns["pertscope"]["perturbation_embeddings"]["true"]["table"].drop(unknown)
    ps.pp.add_perturbation_embedding(adata, table, "few")
    model = made(adata, perturbation_embedding="few")
    with pytest.warns(UserWarning, match="no vector in 'few' for 2 of"):
        model.train(**CPU)
    want = adata[sorted(in_part(adata, "train"))].X.mean(axis=0)
    for row in model.predict(unknown).X:
        np.testing.assert_allclose(row, want, atol=1e-6)


def test_an_embedding_without_training_conditions_is_as_good_as_none() -> None:
    """What its projection says was never trained: scaled by anything, it changes nothing."""
    adata = split(effect_screen(20))
    held_out = sorted(name.split("|")[1] for name in in_part(adata, "test"))
    table = adata.uns["pertscope"]["perturbation_embeddings"]["true"]["table"]
    ps.pp.add_perturbation_embedding(adata, table.drop(held_out[1:]), "trained")
    ps.pp.add_perturbation_embedding(adata, 50 * table.loc[held_out], "tested")
    model = made(adata, perturbation_embedding=["trained", "tested"])
    with (
        pytest.warns(UserWarning, match="'tested' has vectors for no training condition"),
        pytest.warns(UserWarning, match=f"for {len(held_out) - 1} of {len(held_out)} held-out"),
    ):
        model.train(**CPU)
    found, mean = model.predict(), adata[sorted(in_part(adata, "train"))].X.mean(axis=0)
    for row in found[found.obs["gene"] != held_out[0]].X:
        np.testing.assert_allclose(row, mean, atol=1e-6)
    before = found[found.obs["gene"] == held_out[0]].X
    assert not np.allclose(before, mean, atol=1e-6)
    model.vocabulary.embedding.vectors[:, model.widths[0] :] *= -1
    np.testing.assert_array_equal(model.predict([held_out[0]]).X, before)


def test_vectors_are_standardised_on_what_is_trained_on(seen) -> None:
    adata = split(effect_screen(20))
    made(adata).train(**CPU)
    (vectors, _), _ = seen[0][0]
    np.testing.assert_allclose(vectors.mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(vectors.std(dim=0, correction=0), 1, atol=1e-5)
    adata.uns["pertscope"]["perturbation_embeddings"]["true"]["table"]["more"] = 3.0
    table = adata.uns["pertscope"]["perturbation_embeddings"]["true"]["table"]
    made(adata).train(**CPU)
    assert not seen[1][0][0][0][:, -1].any()  # what does not vary says nothing
    table.loc[table.index[0], "more"] += 1e-5  # nor what varies by rounding
    made(adata).train(**CPU)
    assert not seen[2][0][0][0][:, -1].any()


def test_history_and_warm_up() -> None:
    adata = split(effect_screen(20))
    model, told = made(adata), []
    model.train(max_epochs=7, accelerator="cpu", lr=0.6, warmup_epochs=5, patience=9,
                on_epoch=lambda *found: told.append(found))  # fmt: skip
    assert model.history.index.tolist() == list(range(7))
    assert model.history.columns.tolist() == ["train_loss", "val_loss", "lr"]
    np.testing.assert_allclose(model.history["lr"], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6])
    assert told == [
        (i, {"train_loss": row.train_loss, "val_loss": row.val_loss})
        for i, row in enumerate(model.history.itertuples())
    ]


def test_starts_at_the_mean_effect() -> None:
    adata = split(effect_screen(20))
    model = made(adata)
    model.train(max_epochs=1, accelerator="cpu", lr=1e-12, val_fraction=0.5)
    found = model.predict()
    assert np.ptp(found.X, axis=0).max() < 1e-5
    trained = adata[(adata.obs["split"] == "train") & (adata.obs["gene"] != "control")].X
    assert np.abs(found.X[0] - trained.mean(axis=0)).max() < 0.5


def test_trained_again_it_begins_anew() -> None:
    adata = split(effect_screen(20))
    model = made(adata)
    model.train(**CPU)
    first = fingerprint(model.predict())
    model.train(**CPU)
    assert fingerprint(model.predict()) == first


def test_a_training_that_fails_leaves_no_trained_model() -> None:
    adata = split(effect_screen(20))
    model = made(adata)
    model.train(**CPU)
    before = fingerprint(model.predict())
    with pytest.raises(ValueError, match="`lr`=0"):
        model.train(lr=0)
    assert fingerprint(model.predict()) == before  # nothing was begun

    def fail(epoch, _):
        raise RuntimeError(f"enough after {epoch}")

    with pytest.raises(RuntimeError, match="enough after 0"):
        model.train(**CPU, on_epoch=fail)
    assert not model.is_trained
    assert not len(model.history)
    with pytest.raises(ValueError, match="is not trained"):
        model.predict()


def test_interrupted() -> None:
    adata = split(effect_screen(20))

    def stop(epoch, _):
        if epoch == stops_at:
            raise KeyboardInterrupt

    model, stops_at = made(adata), 1
    with pytest.warns(TrainingInterruptedWarning, match="after 2 epoch"):
        model.train(max_epochs=9, accelerator="cpu", on_epoch=stop)
    assert model.is_trained
    assert len(model.history) == 2


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"max_epochs": 0}, "`max_epochs`=0"),
        ({"batch_size": 0}, "`batch_size`=0"),
        ({"lr": 0.0}, "`lr`=0.0"),
        ({"val_fraction": 1.0}, "`val_fraction`=1.0"),
        ({"warmup_epochs": -1}, "`warmup_epochs`=-1"),
        ({"accelerator": "tpu"}, "`accelerator`='tpu'"),
    ],
)
def test_refusals(settings, match) -> None:
    adata = split(effect_screen(20))
    model = made(adata)
    with refused(adata, ValueError, match):
        model.train(**settings)
    assert not model.is_trained


def test_too_few_conditions() -> None:
    adata = effect_screen(4)
    adata.obs["split"] = np.where(adata.obs["gene"].isin(["control", "p000"]), "train", "test")
    with refused(adata, ValueError, "too few to train on some and to validate on others"):
        made(adata).train(**CPU)


def test_nothing_known_of_any() -> None:
    adata = split(effect_screen(20))
    held_out = in_part(adata, "test")
    names = sorted(name.split("|")[1] for name in held_out)
    ps.pp.add_perturbation_embedding(adata, pd.DataFrame({"a": range(4)}, index=names), "test")
    with refused(adata, ValueError, "none of the 16 training condition"):
        made(adata, perturbation_embedding="test").train(**CPU)


def test_only_conditions_of_the_parts_take_memory(monkeypatch) -> None:
    adata = split(effect_screen(20, contexts=("x", "y")), val_fraction=0.25)
    sizes, inner = [], part_effects.moments

    def noted(x, codes, n_groups, **settings):
        sizes.append(n_groups)
        return inner(x, codes, n_groups, **settings)

    monkeypatch.setattr(part_effects, "moments", noted)
    screen = ps.get.screen(adata).screen
    found = part_effects.part_effects(adata, screen, list(adata.var_names), ("train", "val"))
    names = [*sorted(in_part(adata, "train")), *sorted(in_part(adata, "val"))]
    assert found.conditions.index.tolist() == names
    assert sizes == [len(names) + 2]  # and the controls
    np.testing.assert_allclose(found.effects, adata[names].X, atol=1e-6)
