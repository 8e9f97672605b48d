"""Screens on disk, views, and the round trip of everything that pertscope writes."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import assert_sound_split, dense, fingerprint, make_screen, refused

import pertscope as ps
from pertscope._core.score_tables import write_scores
from pertscope._core.screen import Screen

LABELS = ["A", "B", "C", "A+B", "B+C", "(odd) label/with|signs"]


def prediction_of(adata: ad.AnnData) -> ad.AnnData:
    """All conditions, controls included: their means, as sparse cells would be."""
    table = ps.get.conditions(adata)
    x = np.random.default_rng(0).uniform(0.8, 1.2, (len(table), adata.n_vars))
    x = (x * dense(adata.to_memory().X).mean()).astype(np.float32)
    obs = table[["cell_type", "perturbation"]].astype("category")
    return ad.AnnData(sp.csr_matrix(x), obs=obs, var=adata.var[[]].copy())


def score_table() -> pd.DataFrame:
    labels = ["A", "B", "C"]
    table = pd.DataFrame({"prediction": "mine", "cell_type": "x", "perturbation": labels})
    table = table.assign(statistic="effect", metric="rmse", value=[0.1, np.nan, 0.3])
    text = ["prediction", "cell_type", "perturbation", "statistic", "metric"]
    return table.astype(dict.fromkeys(text, "category"))


@pytest.fixture
def full() -> ad.AnnData:
    """Screen with everything that pertscope writes."""
    adata = make_screen(LABELS, counts=True)
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    ps.pp.normalize(adata)
    ps.pp.split_transfer(adata, seed=2)
    ps.pp.add_prediction(adata, prediction_of(adata), "mine")
    ps.pp.add_prediction(adata, prediction_of(adata)[:, ::-1].copy(), "another one")
    write_scores(adata, "error_metrics", score_table())
    return adata


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize(("suffix", "n_times"), [("h5ad", 2), ("zarr", 1)])
def test_everything_survives_the_round_trip(full, suffix, n_times, tmp_path) -> None:
    before = fingerprint(full)
    path = tmp_path / f"screen.{suffix}"
    for _ in range(n_times):  # what was read can be written again
        getattr(full, f"write_{suffix}")(path)
        read = getattr(ad, f"read_{suffix}")(path)
        assert Screen.of(read) == Screen.of(full)
        assert fingerprint(read.X) == fingerprint(full.X)
        assert fingerprint(read.layers["counts"]) == fingerprint(full.layers["counts"])
        assert fingerprint(read.obs) == fingerprint(full.obs)
        assert read.uns["pertscope"]["splits"] == full.uns["pertscope"]["splits"]
        for key in ("mine", "another one"):
            got, want = ps.get.prediction(read, key), ps.get.prediction(full, key)
            assert fingerprint((got.X, got.obs, got.var)) == fingerprint(
                (want.X, want.obs, want.var)
            )
            controls = got.uns["controls"], want.uns["controls"]
            assert fingerprint(controls[0].X) == fingerprint(controls[1].X)
            assert fingerprint(controls[0].obs) == fingerprint(controls[1].obs)
        for get in (ps.get.conditions, ps.get.effects, ps.get.scores):
            pd.testing.assert_frame_equal(get(read), get(full), check_exact=True)
        assert repr(ps.get.screen(read)) == repr(ps.get.screen(full))
        assert fingerprint(full) == before
        full, before = read, fingerprint(read)


def test_what_was_read_can_be_worked_on(full, tmp_path) -> None:
    full.write_h5ad(tmp_path / "x.h5ad")
    read = ad.read_h5ad(tmp_path / "x.h5ad")
    for adata in (full, read):
        ps.pp.register(adata, covariate_keys=["cell_type"], split_key="second")
        ps.pp.split_combinations(adata, seed=1)
        ps.pp.add_prediction(adata, prediction_of(adata), "third")
        write_scores(adata, "rank_metrics", score_table())
    assert read.obs["second"].equals(full.obs["second"])
    assert read.uns["pertscope"]["splits"] == full.uns["pertscope"]["splits"]
    assert list(read.uns["pertscope"]["scores"]) == ["error_metrics", "rank_metrics"]
    assert set(read.uns["pertscope"]["predictions"]) == {"mine", "another one", "third"}


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_a_read_only_file(kind, tmp_path) -> None:
    memory = make_screen(LABELS, register=False)
    memory.X = kind(dense(memory.X))
    memory.write_h5ad(tmp_path / "x.h5ad")
    content = (tmp_path / "x.h5ad").read_bytes()
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    for adata in (memory, backed):
        ps.pp.register(adata, covariate_keys=["cell_type"])
        ps.pp.split_transfer(adata)
        ps.pp.add_prediction(adata, prediction_of(adata), "mine")
        assert_sound_split(adata)
    assert ps.get.conditions(backed).equals(ps.get.conditions(memory))
    pd.testing.assert_frame_equal(ps.get.effects(backed), ps.get.effects(memory), rtol=1e-12)
    uns = fingerprint(backed.uns)
    with pytest.raises(ValueError, match=r"`\.X` lies on disk: read it into memory"):
        ps.pp.normalize(backed)
    assert fingerprint(backed.uns) == uns
    backed.file.close()
    assert (tmp_path / "x.h5ad").read_bytes() == content


def test_a_lazy_screen(tmp_path) -> None:
    memory = make_screen(LABELS)
    memory.write_h5ad(tmp_path / "x.h5ad")
    import h5py

    with h5py.File(tmp_path / "x.h5ad") as file:
        lazy = ad.AnnData(ad.experimental.read_elem_lazy(file["X"]), obs=memory.obs, var=memory.var)
        ps.pp.register(lazy, covariate_keys=["cell_type"])
        ps.pp.split_transfer(lazy)
        pd.testing.assert_frame_equal(ps.get.effects(lazy), ps.get.effects(memory), rtol=1e-12)


WRITERS = {
    "register": lambda a: ps.pp.register(a, covariate_keys=["cell_type"], split_key="other"),
    "normalize": lambda a: ps.pp.normalize(a, counts_layer="raw"),
    "select_features": lambda a: ps.pp.select_features(a, n_top_genes=2, n_degs=1),
    "split_transfer": lambda a: ps.pp.split_transfer(a, max_fraction=0.5, seed=5),
    "split_combinations": ps.pp.split_combinations,
    "split_custom": lambda a: ps.pp.split_custom(a, [{"cell_type": "x"}]),
    "subsample_imbalance": lambda a: ps.pp.subsample_imbalance(a, 0.2, min_perturbations=1),
    "add_prediction": lambda a: ps.pp.add_prediction(a, prediction_of(a), "third"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_views_become_actual_and_parents_stay(full, name) -> None:
    if name == "normalize":
        full.X = full.layers["counts"].copy()
    if name == "select_features":
        full = ps.datasets.simulate_screen(
            n_perturbations=3, n_genes=100, n_cells_per_condition=5, n_controls=20
        )
        ps.pp.register(full, covariate_keys=["cell_type"])
        ps.pp.normalize(full)
    before = fingerprint(full)
    rows = np.sort(np.random.default_rng(0).permutation(full.n_obs)[: full.n_obs - 5])
    view, copy = full[rows], full[rows].copy()
    with pytest.warns(UserWarning, match="received a view of an AnnData: it becomes a copy"):
        WRITERS[name](view)
    WRITERS[name](copy)
    assert not view.is_view
    assert fingerprint(full) == before
    assert fingerprint(view) == fingerprint(copy)


def test_reading_leaves_a_view_a_view(full) -> None:
    view = full[full.obs["cell_type"] != "x"]
    for get in (ps.get.conditions, ps.get.effects, ps.get.screen, ps.get.scores, ps.get.imbalance):
        get(view)
    assert view.is_view


def test_image_profiles(rng) -> None:
    """Negative values, no counts: registered, split, judged by effect, but never logged."""
    adata = make_screen(LABELS)
    adata.X = rng.normal(size=adata.shape).astype(np.float32)
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.split_transfer(adata)
    labels = [adata.obs["cell_type"], adata.obs["perturbation"]]
    frame = adata.to_df().groupby(labels, observed=True).mean()
    effects = ps.get.effects(adata)
    for context, label in effects.index:
        want = frame.loc[context, label] - frame.loc[context, "control"]
        np.testing.assert_allclose(effects.loc[(context, label)], want, atol=1e-6)
    with refused(adata, ValueError, "`.X` holds negative values"):
        ps.pp.normalize(adata)
