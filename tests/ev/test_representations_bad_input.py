"""Odd representations: each function gives what is defined, says what is not, or refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from tests.ev.embedded import make_embedded
from tests.helpers import refused

import pertscope as ps

if TYPE_CHECKING:
    import anndata as ad


def known(n: int = 30) -> pd.DataFrame:
    """Pairs of perturbations that follow each other."""
    names = [f"p{i}" for i in range(n)]
    return pd.DataFrame({"entity1": names[:-1], "entity2": names[1:]})


JUDGES = {
    "integration": lambda a: ps.ev.integration(a, "X_rep", perplexity=10),
    "linear_probe": lambda a: ps.ev.linear_probe(a, "X_rep", n_epochs=3, n_seeds=1),
    "consistency": lambda a: ps.ev.consistency(a, "X_rep", n_permutations=20),
    "knn_accuracy": lambda a: ps.ev.knn_accuracy(a, "X_rep", n_seeds=1),
    "relationship_recall": lambda a: ps.ev.relationship_recall(a, "X_rep", databases=known()),
    "reconstruction": lambda a: ps.ev.reconstruction(a, "X_rep", n_epochs=2, n_seeds=1),
    "phenotypic_activity": lambda a: ps.ev.phenotypic_activity(a, "X_rep", n_null=100),
    "phenotypic_consistency": lambda a: ps.ev.phenotypic_consistency(
        a, "target", "X_rep", activity_key=None, n_null=100
    ),
}


@pytest.fixture(params=sorted(JUDGES))
def name(request) -> str:
    return request.param


def screen(**options) -> ad.AnnData:
    adata = make_embedded(30, n_cells=8, n_controls=40, **options)
    names = adata.obs["perturbation"].astype(str)
    adata.obs["target"] = names.str[-1].map(lambda c: f"t{ord(c) % 4}").astype(object)
    return adata


def values(adata, name: str) -> np.ndarray:
    """All numbers that were written."""
    return adata.uns[name].select_dtypes("number").to_numpy(float)


def moved(adata, label: str, batch: str) -> None:
    """All cells of a perturbation go to one batch."""
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    adata.obs.loc[adata.obs["perturbation"] == label, "batch"] = batch


def test_nan(name) -> None:
    adata = screen()
    adata.obsm["X_rep"][7, 2] = np.nan
    with refused(adata, ValueError, "NaN or infinite values in 1 row.*'cell7'"):
        JUDGES[name](adata)


def test_no_such_representation(name) -> None:
    adata = screen()
    adata.obsm["X_other"] = adata.obsm.pop("X_rep")
    with refused(adata, KeyError, "`.obsm` has no 'X_rep'"):
        JUDGES[name](adata)


def test_duplicated_points(name) -> None:
    adata = screen()
    adata.obsm["X_rep"][:] = adata.obsm["X_rep"][0]
    JUDGES[name](adata)
    found = values(adata, name)
    assert not np.isinf(found).any()
    if name == "integration":
        notes = adata.uns[name].set_index("metric")["note"]
        assert notes["nmi_kmeans"] == "1 clusters: fewer points than the 31 labels are distinct"
    if name.startswith("phenotypic"):  # as random ranks
        np.testing.assert_allclose(
            adata.uns[name]["mean_normalised_average_precision"], 0, atol=1e-9
        )
        assert (adata.uns[name]["p_value"] > 0.2).all()


def test_constant_dimensions(name) -> None:
    """They move no metric but those that look at angles."""
    adata = screen(signal=2)
    JUDGES[name](adata)
    without = values(adata, name)
    adata.obsm["X_rep"] = np.column_stack([adata.obsm["X_rep"], np.zeros((adata.n_obs, 2))])
    JUDGES[name](adata)
    if name in {"linear_probe", "reconstruction"}:  # first weights are drawn by shape
        assert np.isfinite(values(adata, name)).all()
    else:
        np.testing.assert_allclose(values(adata, name), without, atol=1e-6)


def test_a_perturbation_in_one_batch_only(name) -> None:
    adata = screen(signal=1)
    moved(adata, "p3", "b1")
    JUDGES[name](adata)
    assert len(values(adata, name))
    if name in {"linear_probe", "knn_accuracy"}:
        assert (adata.uns[name]["n_labels"] == 29).all()
    if name == "integration":
        notes = adata.uns[name].set_index("metric")["note"]
        assert notes["silhouette_batch"].startswith("1 of 31 labels left out")


def test_one_batch(name) -> None:
    adata = screen()
    adata.obs["batch"] = "b0"
    if name in {"integration", "linear_probe", "knn_accuracy", "reconstruction"}:
        with refused(adata, ValueError, "one batch|all cells have batch 'b0'"):
            JUDGES[name](adata)
    else:
        JUDGES[name](adata)
        assert np.isfinite(values(adata, name)).all()


def test_a_label_with_one_member(name) -> None:
    adata = screen(signal=1)
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str)
    first = np.flatnonzero(adata.obs["perturbation"] == "p0")[0]
    adata.obs.loc[adata.obs_names[first], ["perturbation", "target"]] = ["alone", "own"]
    if name in {"consistency", "phenotypic_activity"}:
        with pytest.warns(UserWarning, match="'alone'"):
            JUDGES[name](adata)
        table = adata.uns[name].set_index("perturbation")
        assert table["p_value"].isna().sum() == 1
        assert np.isnan(table.loc["alone", "p_value"])
        return
    JUDGES[name](adata)
    if name == "phenotypic_consistency":
        table = adata.uns[name].set_index("label")
        assert table.loc["own", "n_profiles"] == 1
        assert np.isnan(table.loc["own", "p_value"])
    else:
        assert np.isfinite(values(adata, name)).all()


def test_an_alone_label_is_as_scib_metrics_has_it() -> None:
    scib = pytest.importorskip("scib_metrics")
    from tests.ev.test_integration import as_scib

    from pertscope._core.neighbors import nearest

    adata = screen(signal=2)
    adata.obs["label"] = np.where(np.arange(adata.n_obs) == 5, "alone", adata.obs["perturbation"])
    metrics = ["silhouette_label", "graph_connectivity"]
    ps.ev.integration(adata, "X_rep", label_key="label", metrics=metrics)
    x, labels = adata.obsm["X_rep"], adata.obs["label"].astype("category").cat.codes.to_numpy()
    want = [
        scib.silhouette_label(x, labels),
        scib.graph_connectivity(as_scib(nearest(x, 15)), labels),
    ]
    got = adata.uns["integration"].set_index("metric")["value"][metrics]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)  # in float32 there


def test_fewer_neighbors_than_asked_for() -> None:
    adata = screen()
    few = adata[:60].copy()
    with refused(few, ValueError, "there are 60 cells, fewer than some metrics need neighbours"):
        ps.ev.integration(few, "X_rep")
    with refused(adata, ValueError, r"`n_neighbors`=999, the reference has \d+ cells"):
        ps.ev.knn_accuracy(adata, "X_rep", n_neighbors=999)


def test_no_activities_where_they_are_looked_for() -> None:
    adata = screen()
    ps.ev.consistency(adata, "X_rep", n_permutations=5)
    with refused(adata, KeyError, "'consistency'.* no table of `ps.ev.phenotypic_activity`"):
        ps.ev.phenotypic_consistency(adata, "target", "X_rep", activity_key="consistency")
    ps.ev.phenotypic_activity(adata, "X_rep", n_null=100)
    with refused(adata, ValueError, "no two of the 0 active perturbations"):
        ps.ev.phenotypic_consistency(adata, "target", "X_rep", fdr=0)


def test_other_order_and_fewer_cells(name) -> None:
    """What is written depends on no order; fewer cells are a screen of their own."""
    adata = screen(signal=2)
    JUDGES[name](adata)
    order = np.random.default_rng(1).permutation(adata.n_obs)
    turned = adata[order].copy()
    JUDGES[name](turned)
    if name in {"phenotypic_activity", "phenotypic_consistency", "relationship_recall"}:
        np.testing.assert_allclose(values(turned, name), values(adata, name), atol=1e-9)
    number = adata.obs.groupby(["perturbation", "batch"], observed=True).cumcount()
    few = adata[(number < 5).to_numpy() & (adata.obs["batch"] != "b3").to_numpy()].copy()
    JUDGES[name](few)
    assert values(few, name).shape[1] == values(adata, name).shape[1]
