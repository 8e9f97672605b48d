"""Metrics of integration in float64 against scib-metrics and harmonypy, of the same neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.helpers import make_screen, refused

import pertscope as ps
from pertscope._core import neighbors
from pertscope._core.neighbors import nearest
from pertscope.ev import _clusters as clusters
from pertscope.ev._graph_connectivity import graph_connectivity
from pertscope.ev._integration_metrics import METRICS
from pertscope.ev._kbet import kbet
from pertscope.ev._lisi import lisi, neighbor_weights, scaled_lisi
from pertscope.ev._pcr import explained_by_batch
from pertscope.ev._silhouette import batch_silhouettes, silhouettes

TOLERANCE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture
def scib():
    """scib-metrics in float64."""
    jax = pytest.importorskip("jax")
    peer = pytest.importorskip("scib_metrics")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield peer
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(params=["cpjump1", "papalexi"])
def cells(request) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Representation, labels and batches of a real screen."""
    if request.param == "papalexi":
        import scanpy as sc

        adata = request.getfixturevalue("papalexi")
        few = ["non-targeting", "STAT1", "JAK2", "IFNGR1", "ATF2"]  # JAX compiles for each size
        adata = adata[adata.obs["perturbation"].isin(few)][::4].copy()
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata)
        sc.pp.pca(adata, n_comps=30)
        x, labels, batch = adata.obsm["X_pca"], adata.obs["perturbation"], adata.obs["bio_rep"]
    else:
        folder = request.getfixturevalue("data_dir") / "cpjump1_compound_7plates"
        files = sorted(folder.glob("*.csv.gz"))
        if not files:
            pytest.skip(f"no real data: {folder} is empty")
        table = pd.concat([pd.read_csv(f) for f in files[:3]], ignore_index=True)
        x = table.loc[:, ~table.columns.str.startswith("Metadata_")].to_numpy(np.float64)
        labels = table["Metadata_broad_sample"].fillna("DMSO")
        batch = table["Metadata_Plate"]
    codes = [pd.Categorical(c.astype(str)).codes.astype(np.int64) for c in (labels, batch)]
    return x, *codes


def as_scib(found: neighbors.Neighbors, *, with_self: bool = False):
    from scib_metrics.nearest_neighbors import NeighborsResults

    indices, distances = found.indices, found.distances
    if with_self:
        n = len(indices)
        indices = np.column_stack([np.arange(n), indices])
        distances = np.column_stack([np.zeros(n), distances])
    return NeighborsResults(indices=indices, distances=distances)


def test_lisi_of_each_cell(cells, scib) -> None:
    harmonypy = pytest.importorskip("harmonypy")
    x, *columns = cells
    found = nearest(x, 90)
    weights = neighbor_weights(found.distances, perplexity=30)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    for codes in columns:
        got = lisi(weights, found.indices, codes)
        table = pd.DataFrame({"label": codes.astype(str)})
        peer = harmonypy.compute_lisi(np.asarray(x, np.float64), table, ["label"], 30)[:, 0]
        np.testing.assert_allclose(got, peer, **TOLERANCE)
        want = scib.lisi_knn(as_scib(found, with_self=True), codes, perplexity=30)
        np.testing.assert_allclose(got, want, **TOLERANCE)
    labels, batch = columns
    for function, codes, mixed in ((scib.ilisi_knn, batch, True), (scib.clisi_knn, labels, False)):
        got = lisi(weights, found.indices, codes)
        value = scaled_lisi(got, len(np.unique(codes)), scale="median", mixed=mixed)
        want = function(as_scib(found, with_self=True), codes, perplexity=30)
        np.testing.assert_allclose(value, want, **TOLERANCE)


def test_metrics_of_batches(cells, scib) -> None:
    x, labels, batch = cells
    found = nearest(x, 50)
    want = scib.kbet(as_scib(found), batch)[0]
    assert kbet(found.indices, batch) == pytest.approx(want, abs=1e-6)
    want = scib.graph_connectivity(as_scib(found.first(15)), labels)
    assert graph_connectivity(found.indices[:, :15], labels).mean() == pytest.approx(want, abs=1e-6)
    got = np.nanmean(batch_silhouettes(x, labels, batch))
    assert got == pytest.approx(scib.silhouette_batch(x, labels, batch), abs=1e-6)
    got = np.nanmean(batch_silhouettes(x, labels, batch, metric="cosine", other="mean"))
    assert got == pytest.approx(scib.bras(x, labels, batch), abs=1e-6)
    got = np.nanmean(batch_silhouettes(x, labels, batch, other="furthest"))
    want = scib.silhouette_batch(x, labels, batch, between_cluster_distances="furthest")
    assert got == pytest.approx(want, abs=1e-6)
    means = np.array([x[batch == b].mean(axis=0) for b in range(batch.max() + 1)])
    corrected = x - 0.6 * means[batch]
    before, after = explained_by_batch(x, batch), explained_by_batch(corrected, batch)
    want = scib.pcr_comparison(x, corrected, batch, categorical=True)
    assert (before - after) / before == pytest.approx(want, abs=1e-6)


def test_metrics_of_biology(cells, scib) -> None:
    x, labels, batch = cells
    s = (silhouettes(x, labels) + 1) / 2
    assert s.mean() == pytest.approx(scib.silhouette_label(x, labels), abs=1e-6)
    which = clusters.isolated(labels, batch)
    got = np.mean([s[labels == label].mean() for label in which])
    assert got == pytest.approx(scib.isolated_labels(x, labels, batch), abs=1e-6)
    found = nearest(x, 14)
    got = clusters.leiden_clusters(found, seed=42)
    want = scib.nmi_ari_cluster_labels_leiden(as_scib(found, with_self=True), labels, seed=42)
    best = max(clusters.agreement(labels, c) for c in got)
    np.testing.assert_allclose(best, [want["nmi"], want["ari"]], **TOLERANCE)


def test_k_means_of_clusters_that_are_apart(rng) -> None:
    scib = pytest.importorskip("scib_metrics")  # its k-means knows float32 alone
    labels = np.repeat(np.arange(3), [30, 50, 40])
    x = np.eye(3)[labels] * 50 + rng.normal(size=(120, 3))
    found = clusters.k_means_clusters(x, 3, seed=1)
    want = scib.nmi_ari_cluster_labels_kmeans(x, labels)
    np.testing.assert_allclose(clusters.agreement(labels, found), [want["nmi"], want["ari"]])
    assert clusters.agreement(labels, found) == (1, 1)


def test_f1_of_isolated_labels(rng) -> None:
    from sklearn.metrics import f1_score

    labels, batch = rng.integers(4, size=200), rng.integers(3, size=200)
    batch[labels == 2] = 1
    found = [rng.integers(5, size=200), np.where(labels == 2, 0, 1)[rng.permutation(200)]]
    assert clusters.isolated(labels, batch).tolist() == [2]
    want = max(f1_score(labels == 2, c == i) for c in found for i in range(5))
    assert clusters.isolated_f1(labels, np.array([2]), found) == pytest.approx(want)


# -- the public function -------------------------------------------------------------------------


@pytest.fixture
def screen(rng):
    """Screen of 300 cells in two batches, with a representation that keeps labels."""
    adata = make_screen(n_cells=20, n_controls=20, register=False)
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    codes = adata.obs["perturbation"].astype("category").cat.codes.to_numpy()
    shift = adata.obs["batch"].astype("category").cat.codes.to_numpy()[:, None]
    signal = 4 * rng.normal(size=(5, 8))[codes] + rng.normal(size=(adata.n_obs, 8))
    adata.obsm["X_good"], adata.obsm["X_before"] = signal, signal + 3 * shift
    adata.obsm["X_noise"] = rng.normal(size=(adata.n_obs, 8))
    return adata


def values(adata, key="integration") -> dict[str, float]:
    return adata.uns[key].set_index("metric")["value"].to_dict()


def test_table_and_totals(screen, tmp_path) -> None:
    ps.ev.integration(screen, "X_good", before="X_before")
    table, got = screen.uns["integration"], values(screen)
    assert table["metric"].tolist() == [*METRICS, "batch", "biology", "total"]
    assert (table["representation"] == "X_good").all()
    for kind in ("batch", "biology"):
        counted = [got[n] for n, m in METRICS.items() if m.kind == kind and m.in_total]
        assert got[kind] == pytest.approx(np.mean(counted))
    assert got["total"] == pytest.approx(0.4 * got["batch"] + 0.6 * got["biology"])
    ps.ev.integration(screen, "X_noise", before="X_before", key_added="noise")
    assert got["biology"] > values(screen, "noise")["biology"] + 0.3
    ps.ev.integration(screen, "X_before", before="X_before", key_added="before")
    assert got["batch"] > values(screen, "before")["batch"] + 0.1
    screen.write_h5ad(tmp_path / "screen.h5ad")


def test_several_representations_are_one_table(screen) -> None:
    names = ["ilisi", "silhouette_label", "nmi_kmeans"]
    ps.ev.integration(screen, ["X_noise", "X_good"], metrics=names)
    table = screen.uns["integration"]
    assert table.index.is_unique
    for name, rows in table.groupby("representation", sort=False):
        ps.ev.integration(screen, name, metrics=names, key_added="alone")
        alone = screen.uns["alone"]
        pd.testing.assert_frame_equal(rows.set_index(alone.index), alone)
    assert table["representation"].unique().tolist() == ["X_noise", "X_good"]


def test_one_search_serves_all(screen, monkeypatch) -> None:
    searched = []
    search = neighbors._search
    monkeypatch.setattr(neighbors, "_search", lambda *a: searched.append(a[2]) or search(*a))
    neighbors._found.clear()
    ps.ev.integration(screen, "X_good", metrics=["kbet", "ilisi", "graph_connectivity", "clisi"])
    assert searched == [90]


def test_graph_of_the_user_takes_the_place_of_the_search(screen, monkeypatch) -> None:
    import scanpy as sc

    sc.pp.neighbors(screen, n_neighbors=61, use_rep="X_good", method="gauss", knn=True)
    names = ["kbet", "ilisi", "graph_connectivity"]
    ps.ev.integration(screen, "X_good", metrics=names, perplexity=20)
    want = values(screen)
    monkeypatch.setattr(neighbors, "_search", None)
    neighbors._found.clear()
    ps.ev.integration(
        screen, "X_good", metrics=names, perplexity=20, neighbors_key="neighbors", key_added="own"
    )
    assert values(screen, "own") == pytest.approx(want, abs=1e-5, nan_ok=True)


def test_scales_of_lisi(screen) -> None:
    names = ["ilisi", "silhouette_batch"]
    for scale in ("none", "mean"):
        ps.ev.integration(screen, "X_good", metrics=names, lisi_scale=scale, key_added=scale)
    raw, scaled = values(screen, "none"), values(screen, "mean")
    n_batches = screen.obs["batch"].nunique()
    assert scaled["ilisi"] == pytest.approx((raw["ilisi"] - 1) / (n_batches - 1))
    assert raw["batch"] == raw["silhouette_batch"]


def test_what_is_left_out_or_clipped_is_said(screen) -> None:
    screen.obs["label"] = np.where(np.arange(screen.n_obs) < 4, "few", "many")
    screen.obs["batch"] = np.where(
        np.arange(screen.n_obs) < 4, "b0", screen.obs["batch"].astype(str)
    )
    names = ["silhouette_batch", "pcr_comparison", "bras"]
    ps.ev.integration(screen, "X_before", before="X_good", label_key="label", metrics=names)
    notes = screen.uns["integration"].set_index("metric")["note"]
    assert "1 of 2 labels left out" in notes["silhouette_batch"]
    assert "set to 0 from -" in notes["pcr_comparison"]
    assert values(screen)["pcr_comparison"] == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"use_rep": "X_pca"}, KeyError, "`.obsm` has no 'X_pca'"),
        ({"metrics": ["lisi"]}, ValueError, "no metric 'lisi'; nearest: .*'ilisi'"),
        ({"metrics": []}, ValueError, "`metrics` is empty"),
        ({"lisi_scale": "scib"}, ValueError, "`lisi_scale`='scib' must be one of"),
        ({"perplexity": 120}, ValueError, "there are 300 cells, .*: ilisi .360., clisi .360."),
        ({"perplexity": 0.5}, ValueError, "`perplexity`=0.5 must be at least 1"),
        ({"label_key": "one"}, ValueError, "all cells have label 'x'"),
        ({"batch_key": "one"}, ValueError, "all cells have batch 'x'"),
        ({"batch_key": "missing"}, ValueError, "1 missing label"),
        ({"label_key": "own"}, ValueError, "each cell has a label of its own"),
        ({"use_rep": []}, ValueError, "must name representations, each once"),
        ({"use_rep": ["X_good", "X_good"]}, ValueError, "must name representations, each once"),
        ({"use_rep": ["X_good", "X_noisy"]}, KeyError, "no 'X_noisy'; nearest: 'X_noise'"),
        (
            {"use_rep": ["X_good", "X_noise"], "neighbors_key": "graph"},
            ValueError,
            "a graph is of one representation",
        ),
        ({"neighbors_key": "graph"}, KeyError, "no graph 'graph'"),
        ({"key_added": "a/b"}, ValueError, "cannot be stored"),
    ],
)
def test_refusals(screen, change, error, message) -> None:
    screen.obs["one"] = "x"
    screen.obs["own"] = screen.obs_names.to_numpy()
    screen.obs["missing"] = [None, *["b"] * (screen.n_obs - 2), "c"]
    options = {"use_rep": "X_good", **change}
    with refused(screen, error, message):
        ps.ev.integration(screen, options.pop("use_rep"), **options)


def test_a_screen_without_batches_is_refused(screen) -> None:
    ps.pp.register(screen, covariate_keys=["cell_type"])
    with refused(screen, ValueError, "no batches"):
        ps.ev.integration(screen, "X_good")


def test_nan_is_refused(screen) -> None:
    screen.obsm["X_good"][3, 2] = np.nan
    with refused(screen, ValueError, "NaN or infinite values in 1 row"):
        ps.ev.integration(screen, "X_good")
