"""Which conditions a model predicts, from which controls, and what it refuses."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import dense, fingerprint, refused
from tests.models.small import EMBEDDED, NETWORKS, make, small_screen, train, trained

from pertscope.models._registry import MODELS

da = pytest.importorskip("dask.array")
pytestmark = pytest.mark.parametrize("name", MODELS)


@pytest.fixture
def model(name):
    return trained(name)


def rows(prediction: ad.AnnData) -> list[tuple[str, str]]:
    return list(zip(prediction.obs["cell_type"], prediction.obs["perturbation"], strict=True))


def test_labels_are_wanted_in_every_context(model) -> None:
    a, b, c, *_ = model.vocabulary.perturbations
    never_made = f"{a}+{b}+{c}"
    prediction = model.predict([never_made, a, "control"])
    assert rows(prediction) == [("A", a), ("A", never_made), ("B", a), ("B", never_made)]


def test_table(model) -> None:
    a, b, *_ = model.vocabulary.perturbations
    table = pd.DataFrame(
        {
            "other": 1,
            "perturbation": [f"{b}+{a}", a, a, "control"],
            "cell_type": ["B", "A", "A", "A"],
        }
    )
    prediction = model.predict(table)
    assert rows(prediction) == [("A", a), ("B", f"{b}+{a}")]
    both = model.predict([f"{a}+{b}", a])
    np.testing.assert_array_equal(prediction["B|" + f"{b}+{a}"].X, both[f"B|{a}+{b}"].X)
    np.testing.assert_array_equal(prediction[f"A|{a}"].X, both[f"A|{a}"].X)


def test_rows_do_not_depend_on_each_other(model) -> None:
    together = model.predict()
    for i in range(together.n_obs):
        alone = model.predict(together.obs.iloc[[i]])
        np.testing.assert_array_equal(alone.X, together.X[[i]])


def test_refusals(model) -> None:
    a = model.vocabulary.perturbations[0]
    match = f"never saw perturbation.* '{a}x' in training; nearest: '{a}'"
    if model.name in EMBEDDED:
        match = f"perturbation.* have no row in the embedding: '{a}x'; nearest: '{a}'"
    for conditions in ([a + "x"], [f"{a}x+{a}"]):
        if not model.tells_perturbations:  # a floor is one of any perturbation
            np.testing.assert_array_equal(model.predict(conditions).X, model.predict([a]).X)
            continue
        with pytest.raises(ValueError, match=match):
            model.predict(conditions)
    table = pd.DataFrame({"perturbation": [a], "cell_type": ["C"]})
    with pytest.raises(
        ValueError, match="never saw cell_type 'C' in training; there are: 'A', 'B'"
    ):
        model.predict(table)
    with pytest.raises(KeyError, match="cell_type"):
        model.predict(table[["perturbation"]])
    with pytest.raises(ValueError, match="names no perturbation"):
        model.predict(["control"])
    with pytest.raises(TypeError, match=f"takes a list of labels: ..{a}"):
        model.predict(a)
    for argument in ("max_controls", "cells_per_condition"):
        with pytest.raises(ValueError, match=f"`{argument}`=0.* must be positive"):
            model.predict(**{argument: 0})


def test_other_screens(name, model) -> None:
    """The controls of another screen respond, if it is one that the model can read."""
    a = model.vocabulary.perturbations[0]
    other = small_screen()
    other.X = other.X * 0.5
    got = model.predict([a], adata=other)
    same = fingerprint(got) == fingerprint(model.predict([a]))
    assert same == (name == "decoder_only")  # which looks at no controls
    only_a = other[~((other.obs["perturbation"] == "control") & (other.obs["cell_type"] == "B"))]
    with pytest.raises(ValueError, match=r"'B' has no control cells .* controls of 'A\|control'"):
        model.predict(adata=only_a)
    assert rows(model.predict([a], adata=only_a)) == [("A", a)]
    with refused(other, ValueError, "lacks 2 of the model's 20 genes: 'g0', 'g1'"):
        model.predict(adata=other[:, 2:])
    with refused(other, ValueError, "20 genes are not the model's 20 in their order"):
        model.predict(adata=other[:, ::-1])


def test_cells(name, model) -> None:
    means = model.predict()
    cells = model.predict(cells_per_condition=16)  # all 16 controls
    assert cells.n_obs == 16 * means.n_obs
    assert cells.obs_names.is_unique
    assert cells.X.dtype == np.float32
    assert list(dict.fromkeys(rows(cells))) == rows(means)
    of_cells = cells.X.reshape(means.n_obs, 16, -1)
    np.testing.assert_allclose(of_cells.mean(axis=1), means.X, atol=1e-5)
    assert (np.ptp(of_cells, axis=1) > 0).any() == (name != "decoder_only")
    assert fingerprint(model.predict(cells_per_condition=1000)) == fingerprint(cells)

    few = model.predict(cells_per_condition=3, seed=4)
    assert few.obs.value_counts().eq(3).all()
    assert fingerprint(few) == fingerprint(model.predict(cells_per_condition=3, seed=4))
    if name != "decoder_only":
        assert fingerprint(few) != fingerprint(model.predict(cells_per_condition=3, seed=5))
    for condition in means.obs_names:  # a draw, not something new
        whole = {
            c.tobytes()
            for c in np.round(cells[cells.obs_names.str.startswith(condition + "|")].X, 4)
        }
        drawn = np.round(few[few.obs_names.str.startswith(condition + "|")].X, 4)
        assert {c.tobytes() for c in drawn} <= whole


def test_max_controls(name, model) -> None:
    everything = model.predict()
    assert fingerprint(model.predict(max_controls=16)) == fingerprint(everything)
    few = model.predict(max_controls=3, seed=7)
    assert rows(few) == rows(everything)
    assert fingerprint(few) == fingerprint(model.predict(max_controls=3, seed=7))
    cells = model.predict(cells_per_condition=3, seed=7)
    np.testing.assert_allclose(
        few.X, cells.X.reshape(everything.n_obs, 3, -1).mean(axis=1), atol=1e-5
    )
    if name != "decoder_only":
        assert not np.allclose(few.X, everything.X)


@pytest.mark.parametrize("form", ["csr", "csc", "dense", "dask of csr"])
def test_on_disk(name, form, tmp_path) -> None:
    """Everything works on disk and on dask, but for networks where genes are stored one by one."""
    adata = small_screen()
    x = {"csc": sp.csc_matrix, "dense": dense}.get(form, sp.csr_matrix)(adata.X)
    if form == "dask of csr":
        adata.X = da.from_array(x.astype(np.float32), chunks=(50, 20), asarray=False)
    else:
        adata.X = x.astype(np.float32)
        adata.write_h5ad(tmp_path / "screen.h5ad")
        adata = ad.read_h5ad(tmp_path / "screen.h5ad", backed="r")
    model = make(name, adata)
    if name in NETWORKS and form == "csc":
        with pytest.raises(ValueError, match=r"stored by genes.* `adata\.to_memory\(\)`"):
            train(model)
        assert not model.is_trained
        model = trained(name)
    elif name in NETWORKS:
        again = train(make(name, adata))
        assert fingerprint(train(model).predict()) == fingerprint(again.predict())
        assert np.isfinite(model.history.to_numpy()).all()
        model = trained(name)
    else:
        train(model)
    for arguments in ({}, {"max_controls": 5}, {"cells_per_condition": 5}):
        got = model.predict(adata=adata, **arguments)
        want = trained(name).predict(**arguments)
        assert rows(got) == rows(want)
        np.testing.assert_allclose(got.X, want.X, rtol=1e-5, atol=1e-6)
