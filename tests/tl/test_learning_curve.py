"""Embeddings trained on ever more batches."""

from __future__ import annotations

import json
from itertools import pairwise

import anndata as ad
import numpy as np
import pytest
from tests.helpers import fingerprint, refused

import pertscope as ps
from pertscope.models.interruption import TrainingInterruptedWarning


def make_counts(n_batches: int = 6):
    adata = ps.datasets.simulate_screen(
        n_perturbations=3,
        n_genes=30,
        n_cells_per_condition=30,
        n_controls=60,
        covariates=("A",),
        n_batches=n_batches,
        seed=0,
    )
    ps.pp.register(adata, batch_key="batch")
    return adata


def centred(train, adata, *, scale=1.0):
    """Cells minus the mean of those trained on."""
    return scale * (adata.X.toarray() - train.X.toarray().mean(axis=0))[:, :4]


def batches(adata, key) -> list[str]:
    return json.loads(adata.uns["pertscope"]["representations"][key])["batches"]


def test_nested_subsets_of_whole_batches() -> None:
    adata = make_counts()
    seen = []

    def embed(train, adata):
        seen.append(train)
        return centred(train, adata)

    before = fingerprint([adata.X, adata.obs, adata.var, adata.layers])
    ps.tl.learning_curve(adata, embed)
    assert fingerprint([adata.X, adata.obs, adata.var, adata.layers]) == before
    table = adata.uns["X_embed_learning_curve"]
    assert table["n_batches"].tolist() == [1, 2, 4, 6]
    assert table["representation"].tolist() == [f"X_embed_{n}_batches" for n in (1, 2, 4, 6)]
    assert list(adata.obsm) == table["representation"].tolist()
    drawn = [batches(adata, key) for key in adata.obsm]
    assert drawn[-1] != sorted(drawn[-1])
    for fewer, more in pairwise(drawn):
        assert more[: len(fewer)] == fewer
    for names, train, row in zip(drawn, seen, table.itertuples(), strict=True):
        rows = adata.obs["batch"].isin(names).to_numpy()
        assert train.obs_names.equals(adata.obs_names[rows])
        np.testing.assert_array_equal(train.X.toarray(), adata[rows].X.toarray())
        assert (train.obs["perturbation"] == "control").any()
        assert row.n_cells == rows.sum()
        assert row.n_perturbations == 3
        np.testing.assert_array_equal(adata.obsm[row.representation], centred(train, adata))
    assert seen[-1].n_obs == adata.n_obs


def test_seed_sizes_and_options() -> None:
    found = {}
    for seed in (0, 1, 0):
        adata = make_counts()
        ps.tl.learning_curve(
            adata, centred, n_batches=(5, 2), seed=seed, scale=2.0, key_added="X_a"
        )
        assert list(adata.obsm) == ["X_a_2_batches", "X_a_5_batches"]
        known = found.setdefault(seed, fingerprint(adata))
        assert known == fingerprint(adata)
        rows = adata.obs["batch"].isin(batches(adata, "X_a_2_batches")).to_numpy()
        expected = centred(adata[rows], adata, scale=2.0)
        np.testing.assert_array_equal(adata.obsm["X_a_2_batches"], expected)
    assert found[0] != found[1]


def test_scvi_of_all_batches_is_scvi(tmp_path) -> None:
    from scvi.model import SCVI

    held = len(SCVI._setup_adata_manager_store)
    adata = make_counts(n_batches=3)
    ps.pp.normalize(adata)
    settings = {"n_latent": 5, "max_epochs": 2, "layer": "counts", "accelerator": "cpu"}
    ps.tl.learning_curve(adata, "scvi", seed=3, **settings)
    ps.tl.scvi(adata, seed=3, **settings)
    table = adata.uns["X_scvi_learning_curve"]
    assert table["n_batches"].tolist() == [1, 2, 3]
    assert len(SCVI._setup_adata_manager_store) == held + 1  # of `scvi` alone
    assert adata.obsm["X_scvi_3_batches"].tobytes() == adata.obsm["X_scvi"].tobytes()
    assert not np.allclose(adata.obsm["X_scvi_2_batches"], adata.obsm["X_scvi"])
    part = adata[adata.obs["batch"].isin(batches(adata, "X_scvi_2_batches"))].copy()
    model = ps.tl.scvi(part, seed=3, **settings)
    ps.tl.transfer_scvi(adata, model, layer="counts")
    assert adata.obsm["X_transfer_scvi"].tobytes() == adata.obsm["X_scvi_2_batches"].tobytes()
    ps.ev.evaluate_representations(adata, list(table["representation"]), levels=[3])
    adata.write_h5ad(tmp_path / "screen.h5ad")


@pytest.mark.parametrize("by_batch", [False, True])
def test_pca_of_all_batches_is_pca(by_batch) -> None:
    adata = make_counts(n_batches=3)
    ps.pp.normalize(adata)
    settings = {"n_comps": 5, "layer": "counts", "by_batch": by_batch}
    before = fingerprint([adata.X, adata.var, adata.varm])
    ps.tl.learning_curve(adata, "pca", **settings)
    assert fingerprint([adata.X, adata.var, adata.varm]) == before
    for n in (2, 3):
        part = adata[adata.obs["batch"].isin(batches(adata, f"X_pca_{n}_batches"))].copy()
        ps.tl.pca(part, **settings)
        whole = adata.copy()
        ps.tl.pca(whole, layer="counts", by_batch=by_batch, reference=part)
        assert whole.obsm["X_pca"].tobytes() == adata.obsm[f"X_pca_{n}_batches"].tobytes()
    assert not np.allclose(adata.obsm["X_pca_2_batches"], adata.obsm["X_pca_3_batches"])


def test_screen_on_disk(tmp_path) -> None:
    adata = make_counts(n_batches=3)
    settings = {"n_latent": 5, "max_epochs": 1, "accelerator": "cpu"}
    adata.write_h5ad(tmp_path / "screen.h5ad")
    backed = ad.read_h5ad(tmp_path / "screen.h5ad", backed="r")
    for screen in (adata, backed):
        ps.tl.learning_curve(screen, "scvi", n_batches=[2], **settings)
        ps.tl.learning_curve(screen, "pca", n_batches=[2])
    for key in ("X_scvi_2_batches", "X_pca_2_batches"):
        np.testing.assert_allclose(backed.obsm[key], adata.obsm[key], rtol=1e-4, atol=1e-4)
    backed.file.close()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"embedding": "scwi"}, ValueError, "`embedding`='scwi' is unknown; nearest: 'scvi'"),
        ({"n_batches": [0, 2]}, ValueError, "`n_batches` holds '0': .* from 1 to 6"),
        ({"n_batches": [7]}, ValueError, "`n_batches` holds '7'"),
        ({"n_batches": [1.5]}, ValueError, r"`n_batches` holds '1\.5'"),
        ({"n_batches": []}, ValueError, "`n_batches` holds nothing"),
        ({"key_added": "a/b"}, ValueError, "cannot be stored"),
        ({"scales": 2}, TypeError, "scales"),
        ({"embedding": lambda train, _: train.X.toarray()}, ValueError, "gave shape"),
        ({"embedding": lambda _, adata: adata.X.toarray() * np.nan}, ValueError, "gave NaN"),
    ],
)
def test_refused(arguments, error, match) -> None:
    adata = make_counts()
    with refused(adata, error, match):
        ps.tl.learning_curve(adata, **{"embedding": centred, **arguments})


def test_failure_of_a_later_subset_writes_nothing() -> None:
    adata = make_counts()

    def embed(train, adata):
        if train.n_obs > adata.n_obs / 2:
            raise MemoryError("no more")
        return centred(train, adata)

    with refused(adata, MemoryError, "no more"):
        ps.tl.learning_curve(adata, embed)


def test_interrupted() -> None:
    adata = make_counts(n_batches=4)
    done = []

    def embed(train, adata):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(len(train))
        return centred(train, adata)

    with pytest.warns(TrainingInterruptedWarning, match="2 of 3 subsets were done"):
        ps.tl.learning_curve(adata, embed)
    table = adata.uns["X_embed_learning_curve"]
    assert table["n_cells"].tolist() == done
    assert (
        set(table["representation"])
        == set(adata.obsm)
        == {"X_embed_1_batches", "X_embed_2_batches"}
    )
    with pytest.raises(KeyboardInterrupt):
        ps.tl.learning_curve(adata, embed, key_added="again")
    assert "again_learning_curve" not in adata.uns


def test_screens_without_batches_are_refused() -> None:
    one = make_counts(n_batches=1)
    with refused(one, ValueError, "has one batch"):
        ps.tl.learning_curve(one, centred)
    ps.pp.register(one)
    with refused(one, ValueError, "has no batches"):
        ps.tl.learning_curve(one, centred)
    del one.uns["pertscope"]
    with refused(one, KeyError, "not registered"):
        ps.tl.learning_curve(one, centred)
