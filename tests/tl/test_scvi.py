"""scVI on a screen, and of one screen on another."""

from __future__ import annotations

import json
import random
import signal
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.neighbors import NearestNeighbors
from tests.helpers import fingerprint, refused

import pertscope as ps
from pertscope.tl import _scvi_embedding

SETTINGS = {"n_latent": 6, "n_hidden": 16, "max_epochs": 2, "accelerator": "cpu"}


def make_counts(*, n_genes: int = 30, seed: int = 0, **simulated) -> ad.AnnData:
    simulated = {"n_perturbations": 3, "n_cells_per_condition": 10, "n_controls": 30, **simulated}
    adata = ps.datasets.simulate_screen(n_genes=n_genes, seed=seed, **simulated)
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    return adata


def embedded(adata: ad.AnnData, **settings) -> np.ndarray:
    ps.tl.scvi(adata, **{**SETTINGS, **settings})
    return adata.obsm["X_scvi"]


@pytest.fixture(scope="module")
def trained():
    adata = make_counts()
    return adata, ps.tl.scvi(adata, **SETTINGS)


def record(adata: ad.AnnData, key: str) -> dict:
    return json.loads(adata.uns["pertscope"]["representations"][key])


def test_what_is_written(tmp_path) -> None:
    adata = make_counts()
    before = fingerprint(adata)
    model = ps.tl.scvi(adata, **SETTINGS)
    x = adata.obsm["X_scvi"]
    assert x.shape == (adata.n_obs, 6)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, model.get_latent_representation())
    assert record(adata, "X_scvi") == {
        "function": "scvi",
        "n_latent": 6,
        "n_hidden": 16,
        "n_layers": 2,
        "likelihood": "zinb",
        "max_epochs": 2,
        "batch_size": 128,
        "seed": 0,
        "n_cells": adata.n_obs,
        "n_genes": 30,
        "batch_key": "batch",
    }
    adata.write_h5ad(tmp_path / "screen.h5ad")
    assert fingerprint(ad.read_h5ad(tmp_path / "screen.h5ad").obsm["X_scvi"]) == fingerprint(x)
    del adata.obsm["X_scvi"], adata.uns["pertscope"]["representations"]
    assert fingerprint(adata) == before


def test_defaults_of_the_paper(trained) -> None:
    model = trained[1]
    assert ps.tl.scvi.__kwdefaults__["n_latent"] == 256
    assert model.module.gene_likelihood == "zinb"
    assert model.module.dispersion == "gene"
    assert model.module.latent_distribution == "normal"
    assert model.summary_stats.n_batch == 2
    assert len(model.history["train_loss"]) == 2


@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson"])
def test_likelihoods(likelihood) -> None:
    adata = make_counts()
    model = ps.tl.scvi(adata, **SETTINGS, likelihood=likelihood)
    assert model.module.gene_likelihood == likelihood
    assert np.isfinite(adata.obsm["X_scvi"]).all()


def test_same_seed_same_bytes() -> None:
    """Whatever was drawn before; and nothing that others draw from is moved."""
    adata = make_counts()
    first = embedded(adata)
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    import scvi

    seed = scvi.settings.seed
    again = embedded(adata)
    assert again.tobytes() == first.tobytes()
    assert scvi.settings.seed == seed
    now = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    assert str(now) == str(states)
    assert not np.allclose(embedded(adata, seed=1), first)


@pytest.mark.parametrize(
    "stored", [sp.csc_matrix, sp.csr_array, lambda x: x.toarray(), lambda x: x.astype(np.int64)]
)
def test_any_matrix(trained, stored) -> None:
    adata = make_counts()
    adata.X = stored(adata.X)
    np.testing.assert_allclose(embedded(adata), trained[0].obsm["X_scvi"], rtol=1e-4, atol=1e-5)


def test_layer_and_view(trained) -> None:
    adata = make_counts()
    ps.pp.normalize(adata)
    with refused(adata, ValueError, r"`\.X` holds fractions or NaN.* `layer='counts'`"):
        ps.tl.scvi(adata, **SETTINGS)
    view = adata[:, :]
    with pytest.warns(UserWarning, match="view"):
        ps.tl.scvi(view, **SETTINGS, layer="counts")
    assert view.obsm["X_scvi"].tobytes() == trained[0].obsm["X_scvi"].tobytes()
    assert "X_scvi" not in adata.obsm


def test_without_batches() -> None:
    adata = make_counts()
    ps.pp.register(adata, covariate_keys=["cell_type"])
    model = ps.tl.scvi(adata, **SETTINGS)
    assert model.summary_stats.n_batch == 1
    assert record(adata, "X_scvi")["batch_key"] is None


@pytest.mark.parametrize("n", [33, 34, 35])
def test_last_batch_of_few_cells(n) -> None:
    adata = make_counts()[:n].copy()
    assert embedded(adata, batch_size=16).shape == (n, 6)


def test_carries_biology_and_mixes_batches() -> None:
    """Perturbations are told apart as no random labels are; batches less if it knows of them."""
    adata = make_counts(
        n_genes=100,
        n_perturbations=4,
        n_cells_per_condition=120,
        n_controls=120,
        covariates=("A",),
        effect_size=0.7,
        guide_efficiency=1.0,
        n_batches=4,
        batch_effect=0.2,
    )
    settings = {**SETTINGS, "n_latent": 10, "n_hidden": 128, "max_epochs": 40}
    ps.tl.scvi(adata, **settings)
    ps.pp.random_labels(adata, "X_scvi", seed=0)
    ps.pp.register(adata)
    ps.tl.scvi(adata, **settings, key_added="X_without")
    ps.pp.register(adata, batch_key="batch")
    assert accuracy(adata, "X_random_labels") < 0.4
    assert accuracy(adata, "X_scvi") > 0.9
    assert same_batch(adata, "X_scvi") < same_batch(adata, "X_without") - 0.05


def accuracy(adata: ad.AnnData, key: str) -> float:
    ps.ev.knn_accuracy(adata, key, drop_controls=True)
    table = adata.uns["knn_accuracy"]
    return table.loc[table["metric"] == "top1_accuracy", "value"].mean()


def same_batch(adata: ad.AnnData, key: str) -> float:
    """Share of the 15 nearest cells that are of the same batch."""
    search = NearestNeighbors(n_neighbors=15).fit(adata.obsm[key])
    batch = adata.obs["batch"].cat.codes.to_numpy()
    return (batch[search.kneighbors(return_distance=False)] == batch[:, None]).mean()


# -- transfer ------------------------------------------------------------------------------------


def test_transfer_to_itself(trained) -> None:
    adata, model = trained
    ps.tl.transfer_scvi(adata, model, key_added="X_again", min_shared=1.0)
    assert adata.obsm["X_again"].tobytes() == adata.obsm["X_scvi"].tobytes()


def test_transfer_matches_genes(trained) -> None:
    """As scvi-tools prepares a query: missing genes 0, others dropped, batches never seen."""
    _, model = trained
    other = make_counts(n_genes=40, seed=3, n_batches=5)[:, 10:][:, ::-1].copy()
    other.obs["batch"] = pd.Categorical([f"new{b}" for b in other.obs["batch"]])
    with pytest.warns(UserWarning, match="10 of the model's 30 genes are missing, and count 0"):
        ps.tl.transfer_scvi(other, model)
    missing = model.adata.var_names[:10].tolist()
    assert record(other, "X_transfer_scvi") == {
        "function": "transfer_scvi",
        "n_model_genes": 30,
        "n_genes": 20,
        "missing_genes": missing,
        "n_left_out": 10,
    }
    padded = np.zeros((other.n_obs, 30), dtype=np.float32)
    padded[:, 10:] = other[:, model.adata.var_names[10:]].X.toarray()
    query = ad.AnnData(padded, obs=other.obs[[]], var=model.adata.var[[]])
    query.obs["batch"] = pd.Categorical(["batch1"] * len(query))
    expected = model.get_latent_representation(query)
    np.testing.assert_allclose(other.obsm["X_transfer_scvi"], expected, rtol=1e-5, atol=1e-6)
    assert other.obsm["X_transfer_scvi"].dtype == np.float32


def test_transfer_in_blocks_from_disk(trained, tmp_path, monkeypatch) -> None:
    adata, model = trained
    monkeypatch.setattr(_scvi_embedding, "BLOCK_VALUES", 30 * 7)
    adata.write_h5ad(tmp_path / "screen.h5ad")
    backed = ad.read_h5ad(tmp_path / "screen.h5ad", backed="r")
    ps.tl.transfer_scvi(backed, model)
    found = backed.obsm["X_transfer_scvi"]
    np.testing.assert_allclose(found, adata.obsm["X_scvi"], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"lie on disk.*to_memory"):
        ps.tl.scvi(backed, **SETTINGS)
    backed.file.close()


def test_transfer_refuses(trained) -> None:
    _, model = trained
    other = make_counts(seed=1)
    with refused(other, TypeError, r"expected a scvi\.model\.SCVI, got str"):
        ps.tl.transfer_scvi(other, "model")
    for share in (0, 1.5):
        with refused(other, ValueError, "must be above 0 and at most 1"):
            ps.tl.transfer_scvi(other, model, min_shared=share)
    few = other[:, :12].copy()
    with refused(few, ValueError, r"12 of the model's 30 genes.*`min_shared`=0\.5"):
        ps.tl.transfer_scvi(few, model)
    with pytest.warns(UserWarning, match="18 of the model's 30 genes are missing"):
        ps.tl.transfer_scvi(few, model, min_shared=0.4)
    other.var_names = [f"other{i}" for i in range(30)]
    with refused(other, ValueError, "0 of the model's 30 genes"):
        ps.tl.transfer_scvi(other, model, min_shared=1e-9)
    other.var_names = ["twice", "twice", *other.var_names[2:]]
    with refused(other, ValueError, r"`\.var_names` are not unique"):
        ps.tl.transfer_scvi(other, model)


def test_transfer_refuses_models_that_read_batches() -> None:
    from scvi.model import SCVI

    adata = make_counts()
    own = adata.copy()
    SCVI.setup_anndata(own, batch_key="batch")
    untrained = SCVI(own)
    with refused(adata, ValueError, "is not trained"):
        ps.tl.transfer_scvi(adata, untrained)
    for settings in ({"encode_covariates": True}, {"latent_distribution": "ln"}):
        model = SCVI(own, **settings)
        model.is_trained_ = True
        with refused(adata, ValueError, "reads covariates, or its latent space is not normal"):
            ps.tl.transfer_scvi(adata, model)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"likelihood": "zimb"}, ValueError, "`likelihood`='zimb'; nearest: 'zinb'"),
        ({"n_latent": 0}, ValueError, "`n_latent`=0 must be positive"),
        ({"max_epochs": 0}, ValueError, "`max_epochs`=0 must be positive"),
        ({"batch_size": 1}, ValueError, "`batch_size`=1"),
        ({"layer": "cuonts"}, KeyError, r"`\.layers` has no 'cuonts'"),
        ({"key_added": "a/b"}, ValueError, "cannot be stored"),
    ],
)
def test_settings_refused(settings, error, match) -> None:
    adata = make_counts()
    with refused(adata, error, match):
        ps.tl.scvi(adata, **{**SETTINGS, **settings})


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (-1.0, "negative values, no counts"),
        (0.5, "fractions or NaN, no counts"),
        (np.nan, "fractions or NaN, no counts"),
        (np.inf, "its highest is inf"),
    ],
)
def test_values_refused(value, match) -> None:
    """Also where only the last cell has one."""
    adata = make_counts()
    adata.X.data[-1] = value
    with refused(adata, ValueError, match):
        ps.tl.scvi(adata, **SETTINGS)


def test_screens_refused() -> None:
    adata = make_counts()
    ones = adata.copy()
    ones.X.data[:] = 1
    with refused(ones, ValueError, "its highest is 1"):
        ps.tl.scvi(ones, **SETTINGS)
    empty = adata.copy()
    empty.X[3] = 0
    with refused(empty, ValueError, rf"1 cell\(s\) have no counts.*{adata.obs_names[3]}"):
        ps.tl.scvi(empty, **SETTINGS)
    two = adata[:2].copy()
    with refused(two, ValueError, r"2 cell\(s\): it needs three"):
        ps.tl.scvi(two, **SETTINGS)
    del adata.obs["batch"]
    with refused(adata, KeyError, "batch"):
        ps.tl.scvi(adata, **SETTINGS)
    del adata.uns["pertscope"]
    with refused(adata, KeyError, "not registered"):
        ps.tl.scvi(adata, **SETTINGS)


def test_missing_package(monkeypatch, trained) -> None:
    monkeypatch.setitem(sys.modules, "scvi.model", None)
    adata = make_counts()
    with refused(adata, ImportError, r"pip install 'pertscope\[scvi\]'"):
        ps.tl.scvi(adata, **SETTINGS)
    with refused(adata, ImportError, r"pip install 'pertscope\[scvi\]'"):
        ps.tl.transfer_scvi(adata, trained[1])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_failure_leaves_all_as_it_was(monkeypatch, error) -> None:
    """Lightning turns Ctrl-C into the end of the process; here it stays what it is."""
    from scvi.module import VAE

    def fail(*_, **__):
        raise error("in training")

    handler = signal.getsignal(signal.SIGINT)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    monkeypatch.setattr(VAE, "loss", fail)
    adata = make_counts()
    before = fingerprint(adata)
    with pytest.raises(error):
        ps.tl.scvi(adata, **SETTINGS)
    assert fingerprint(adata) == before
    assert signal.getsignal(signal.SIGINT) is handler
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_genes_named_twice_are_refused_before_training(monkeypatch) -> None:
    adata = ps.datasets.simulate_screen(n_genes=20, n_cells_per_condition=3, seed=0)
    ps.pp.register(adata)
    adata.var_names = ["same", *adata.var_names[1:-1], "same"]
    monkeypatch.setattr("pertscope.tl._scvi.train_scvi", lambda *_, **__: pytest.fail("trained"))
    with refused(adata, ValueError, "not unique"):
        ps.tl.scvi(adata)
