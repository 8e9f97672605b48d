"""Saving and loading: the same bytes, nothing executed, nothing foreign overwritten or read."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import fingerprint, refused
from tests.models.small import NETWORKS, TINY, make, small_screen, train, trained

import pertscope as ps
from pertscope.models._registry import MODELS

every_model = pytest.mark.parametrize("name", MODELS)


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self):
        return Path.touch, (self.sentinel,)


@pytest.fixture
def folder(name, tmp_path) -> Path:
    trained(name).save(tmp_path / "model")
    return tmp_path / "model"


def load(name: str, folder: Path, adata=None):
    return MODELS[name].load().load(folder, small_screen() if adata is None else adata)


def change(folder: Path, **entries) -> None:
    entry = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(entry | entries))


@every_model
def test_round_trip(name, folder, tmp_path) -> None:
    assert sorted(f.name for f in folder.iterdir()) == ["arrays.npz", "model.json"]
    model, adata = trained(name), small_screen()
    before = fingerprint(adata), np.random.get_state()[1].tobytes()  # noqa: NPY002
    loaded = load(name, folder, adata)
    assert (fingerprint(adata), np.random.get_state()[1].tobytes()) == before  # noqa: NPY002
    assert loaded.is_trained
    assert repr(loaded) == repr(model)
    for arguments in ({}, {"cells_per_condition": 3}, {"max_controls": 3}):
        assert fingerprint(loaded.predict(**arguments)) == fingerprint(model.predict(**arguments))
    pd.testing.assert_frame_equal(loaded.history, model.history)
    loaded.save(tmp_path / "again")
    assert fingerprint(load(name, tmp_path / "again").predict()) == fingerprint(model.predict())
    if name in NETWORKS:  # and can be trained on
        assert fingerprint(train(loaded).predict()) != fingerprint(model.predict())


@every_model
def test_only_a_trained_model_is_saved(name, tmp_path) -> None:
    model = make(name, small_screen())
    for method in (model.predict, lambda: model.save(tmp_path / "model")):
        with pytest.raises(ValueError, match=f"this {type(model).__name__} is not trained"):
            method()
    assert not list(tmp_path.iterdir())


@every_model
def test_other_screens(name, folder) -> None:
    adata = small_screen()
    with refused(adata, ValueError, "lacks 1 of the model's 20 genes: 'g19'"):
        load(name, folder, adata[:, :-1])
    x = sp.hstack([adata.X, adata.X[:, :1]], format="csr")
    more = ad.AnnData(x, adata.obs, pd.DataFrame(index=[*adata.var_names, "another"]), adata.uns)
    with refused(more, ValueError, "21 genes are not the model's 20 in their order"):
        load(name, folder, more)
    with refused(adata, ValueError, "are not the model's 20 in their order"):
        load(name, folder, adata[:, ::-1])
    load(name, folder, more[:, trained(name).genes])

    ps.pp.register(adata, covariate_keys=["cell_type", "batch"])
    with refused(
        adata, ValueError, r"covariates \['cell_type', 'batch'\], the model was .*\['cell_type'\]"
    ):
        load(name, folder, adata)
    adata = small_screen()
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.rename_categories({"B": "C"})
    with refused(adata, ValueError, "never saw cell_type 'C'"):
        load(name, folder, adata)
    adata = small_screen()
    other = {
        p: p if p == "control" else f"drug {i}"
        for i, p in enumerate(adata.obs["perturbation"].cat.categories)
    }
    adata.obs["perturbation"] = adata.obs["perturbation"].cat.rename_categories(other)
    with refused(adata, ValueError, "share no perturbation"):
        load(name, folder, adata)
    adata = small_screen()
    del adata.uns["pertscope"]
    with refused(adata, KeyError, "not registered"):
        load(name, folder, adata)


@pytest.mark.parametrize("name", ["linear", "mean_effect"])
def test_another_layer_brings_a_warning(name, folder) -> None:
    adata = small_screen()
    adata.layers["scaled"] = adata.X * 3.5
    ps.pp.register(adata, covariate_keys=["cell_type"], layer="scaled")
    with pytest.warns(UserWarning, match=r"trained on `\.X`, and reads layer 'scaled'") as told:
        load(name, folder, adata)
    assert len(told) == 1


@every_model
def test_other_files(name, folder, tmp_path) -> None:
    other = next(n for n in MODELS if n != name)
    with pytest.raises(ValueError, match=f"holds a model {name!r}, not {other!r}"):
        load(other, folder)
    with pytest.raises(FileNotFoundError, match=r"holds no model: there is no model\.json"):
        load(name, tmp_path)
    change(folder, genes=[f"h{i}" for i in range(20)])
    with pytest.raises(ValueError, match="lacks 20 of the model's 20 genes"):
        load(name, folder)
    change(folder, format_version=3)
    with pytest.raises(ValueError, match=r"model format 3, this pertscope reads format 2"):
        load(name, folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        load(name, folder)


@every_model
@pytest.mark.parametrize("plant", ["object array", "raw pickle"])
def test_planted_pickle_is_not_executed(name, plant, folder, tmp_path) -> None:
    sentinel = tmp_path / "executed"
    bomb = np.array([Bomb(sentinel)], dtype=object)
    if plant == "object array":
        keys = list(trained(name)._arrays()) or ["effect"]
        np.savez(folder / "arrays.npz", **dict.fromkeys(keys, bomb))
    else:
        (folder / "arrays.npz").write_bytes(pickle.dumps(Bomb(sentinel)))
    with pytest.raises(ValueError, match="allow_pickle="):
        load(name, folder)
    assert not sentinel.exists()
    pickle.loads(pickle.dumps(Bomb(sentinel)))  # the bomb would have worked
    assert sentinel.exists()


@pytest.mark.parametrize("name", ["latent_additive", "decoder_only"])
def test_changed_widths_do_not_load(name, folder) -> None:
    change(folder, settings=trained(name).settings | TINY[name] | {"n_hidden": 9})
    with pytest.raises(ValueError, match=r"(?s)saved weights do not fit .*size mismatch"):
        load(name, folder)


@every_model
def test_what_is_there_stays(name, folder) -> None:
    model = trained(name)
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    with pytest.raises(FileExistsError, match="holds a model: pass `overwrite=True`"):
        model.save(folder)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
    model.save(folder, overwrite=True)
    assert fingerprint(load(name, folder).predict()) == fingerprint(model.predict())
    (folder / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="holds something other than a model"):
            model.save(folder, overwrite=overwrite)
        with pytest.raises(FileExistsError, match="holds something other than a model"):
            model.save(folder / "thesis.txt", overwrite=overwrite)
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert sorted(f.name for f in folder.parent.iterdir()) == ["model"]


@pytest.mark.parametrize("name", ["linear"])
def test_numpy_numbers_are_saved(name, tmp_path) -> None:
    model = train(make(name, small_screen(), seed=np.int64(3)))
    model.save(tmp_path / "deep" / "model")
    assert load(name, tmp_path / "deep" / "model").settings["seed"] == 3
