"""The table of integration on real screens is, metric by metric, that of scib-metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.ev import cpjump1
from tests.ev.embedded import papalexi_pca
from tests.ev.test_integration import as_scib

import pertscope as ps
from pertscope._core.neighbors import nearest
from pertscope.ev import _clusters as clusters

if TYPE_CHECKING:
    import pandas as pd

SEED = 3
LEIDEN = ("nmi_leiden", "ari_leiden")


@pytest.fixture(scope="module")
def judged(data_dir):
    """Wells of all plates with ``X_some`` and ``X_before``, and their table of integration."""
    adata = cpjump1.load(data_dir)
    few = ["DMSO", *adata.obs["broad_sample"].unique()[:30]]
    adata = adata[adata.obs["broad_sample"].isin(few)]
    # compounds have one well on most plates, controls many: these alone have a silhouette there;
    # JAX compiles for each size of a group
    per_plate = np.where(adata.obs["broad_sample"] == "DMSO", 4, 1)
    number = adata.obs.groupby(["broad_sample", "Plate"], observed=True).cumcount()
    adata = adata[(number < per_plate).to_numpy()].copy()
    adata.obsm["X_before"] = np.asarray(adata.X)
    ps.pp.center(adata, "X_before", key_added="X_some")
    ps.ev.integration(adata, "X_some", before="X_before", seed=SEED)
    return adata


@pytest.fixture(scope="module")
def value(judged) -> pd.Series:
    return judged.uns["integration"].set_index("metric")["value"]


@pytest.fixture(scope="module")
def cells(judged) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Representation, that before, labels and batches."""
    screen = ps.get.screen(judged).screen
    codes = [
        judged.obs[c].astype("category").cat.codes.to_numpy(np.int64)
        for c in (screen.perturbation_key, screen.batch_key)
    ]
    return (*(np.asarray(judged.obsm[k], np.float64) for k in ("X_some", "X_before")), *codes)


@pytest.fixture
def scib():
    """scib-metrics in float64."""
    jax = pytest.importorskip("jax")
    peer = pytest.importorskip("scib_metrics")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield peer
    jax.config.update("jax_enable_x64", before)


def test_metrics_that_look_at_neighbors(cells, value, scib) -> None:
    x, _, labels, batch = cells
    many = as_scib(nearest(x, 90), with_self=True)
    want = {
        "ilisi": scib.ilisi_knn(many, batch, perplexity=30),
        "clisi": scib.clisi_knn(many, labels, perplexity=30),
        "kbet": scib.kbet(as_scib(nearest(x, 50)), batch)[0],
        "graph_connectivity": scib.graph_connectivity(as_scib(nearest(x, 15)), labels),
    }
    found = as_scib(nearest(x, 15), with_self=True)
    leiden = scib.nmi_ari_cluster_labels_leiden(found, labels, seed=SEED)
    want |= dict(zip(LEIDEN, (leiden["nmi"], leiden["ari"]), strict=True))
    np.testing.assert_allclose(value[list(want)], list(want.values()), rtol=0, atol=1e-6)


def test_metrics_that_look_at_distances(cells, value, scib) -> None:
    x, before, labels, batch = cells
    want = {
        "silhouette_label": scib.silhouette_label(x, labels),
        "silhouette_batch": scib.silhouette_batch(x, labels, batch),
        "bras": scib.bras(x, labels, batch),
        "isolated_labels": scib.isolated_labels(x, labels, batch),
        "pcr_comparison": scib.pcr_comparison(before, x, batch, categorical=True),
    }
    np.testing.assert_allclose(value[list(want)], list(want.values()), rtol=0, atol=1e-6)


def test_clusters_of_k_means_on_papalexi(papalexi) -> None:
    """scib-metrics draws its own first centres, in float32: its clusters agree as it says."""
    peer = pytest.importorskip("scib_metrics")
    from scib_metrics.utils import KMeans

    adata = papalexi_pca(papalexi)
    adata = adata[adata.obs["perturbation"].isin(["STAT1", "JAK2", "IFNGR1", "ATF2"])][::5].copy()
    x = np.asarray(adata.obsm["X_pca"], np.float64)
    labels = adata.obs["perturbation"].cat.codes.to_numpy(np.int64)
    labels = np.unique(labels, return_inverse=True)[1]
    want = peer.nmi_ari_cluster_labels_kmeans(x, labels)
    found = np.asarray(KMeans(4).fit(x).labels_)
    got = clusters.agreement(labels, found)
    np.testing.assert_allclose(got, [want["nmi"], want["ari"]], rtol=0, atol=1e-6)
    ps.ev.integration(adata, "X_pca", metrics=["nmi_kmeans", "ari_kmeans"])
    value = adata.uns["integration"].set_index("metric")["value"]
    np.testing.assert_allclose(value[["nmi_kmeans", "ari_kmeans"]], got, rtol=0, atol=0.05)
