"""On real screens, average precision is that of copairs, recall and similarity are efaar's."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from tests.ev import copairs_peer, cpjump1, efaar_formulas
from tests.ev.embedded import papalexi_pca

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope.ev._average_precision import average_precision
from pertscope.ev._phenotypic_activity import controls_of, grouped

N_NULL = 5_000
MEAN = "mean_average_precision"
PATHWAYS = {
    "IFNGR1": "interferon gamma",
    "IFNGR2": "interferon gamma",
    "JAK2": "interferon gamma|JAK-STAT",
    "STAT1": "interferon gamma|JAK-STAT",
    "STAT2": "JAK-STAT|interferon alpha",
    "STAT3": "JAK-STAT",
    "STAT5A": "JAK-STAT",
    "IRF7": "interferon alpha",
    "IRF1": "interferon gamma|interferon alpha",
    "MYC": "cancer",
    "BRD4": "cancer",
    "SMAD4": "cancer",
}


@pytest.fixture(scope="module")
def papalexi_cells(_read_screen):
    return papalexi_pca(_read_screen("sceptre_papalexi_lowmoi/papalexi_lowmoi.h5ad").copy())


@pytest.fixture(scope="module", params=["cpjump1", "papalexi"])
def profiles(request):
    """Wells, or guides by replicate; registered layer of features, and ``labels`` in ``.obs``."""
    if request.param == "cpjump1":
        adata = cpjump1.load(request.getfixturevalue("data_dir"))
        adata.obs["labels"] = adata.obs["target_list"]
        return adata
    cells = request.getfixturevalue("papalexi_cells")
    adata = ps.pp.aggregate(cells, ["grna", "perturbation", "bio_rep"], use_rep="X_pca")
    adata.obs["labels"] = adata.obs["perturbation"].astype(str).map(PATHWAYS)
    ps.pp.register(
        adata, perturbation_key="perturbation", control="non-targeting", batch_key="bio_rep"
    )
    return adata


def labels_of(adata) -> tuple[np.ndarray, np.ndarray, str]:
    """Perturbation and batch of each row; the control."""
    screen = ps.get.screen(adata).screen
    columns = (adata.obs[c].to_numpy(str) for c in (screen.perturbation_key, screen.batch_key))
    return (*columns, screen.control)


def same_p(found: pd.Series, expected: pd.Series) -> None:
    """Both are estimates from `N_NULL` draws."""
    p = expected.to_numpy(float)
    error = np.sqrt(2 * p * (1 - p) / N_NULL)
    assert (np.abs(found.to_numpy(float) - p) < 5 * error + 3 / N_NULL).all()
    assert len(p) > 1


@pytest.fixture(scope="module")
def peer(profiles) -> pd.DataFrame:
    perturbation, batch, control = labels_of(profiles)
    x = np.asarray(profiles.X, np.float64)
    return copairs_peer.activity(x, perturbation, batch, control=control)


def test_average_precision_of_each_profile(profiles, peer) -> None:
    conditions = screen_conditions(profiles, Screen.of(profiles))
    chosen = np.flatnonzero(~conditions.is_control)
    queries = grouped(conditions, chosen, np.empty((profiles.n_obs, 0), np.int64))
    batch_key = conditions.screen.batch_key
    candidates = controls_of(profiles.obs, conditions, queries, [batch_key])
    found = average_precision(np.asarray(profiles.X), queries, candidates, positives_first=True)
    value = pd.Series(found.value, index=queries.members)[peer.index]
    assert len(value) == (~conditions.is_control[conditions.codes]).sum()
    np.testing.assert_allclose(value, peer["average_precision"], rtol=0, atol=1e-6)


def test_activity(profiles, peer, tmp_path) -> None:
    ps.ev.phenotypic_activity(profiles, compat="copairs", n_null=N_NULL)
    table = profiles.uns["phenotypic_activity"]
    found = table.set_index(table["perturbation"].astype(str)).sort_index()
    want = copairs_peer.means(peer, "perturbation", tmp_path, null_size=N_NULL, seed=0)
    assert found.index.tolist() == want.index.tolist()
    np.testing.assert_allclose(found[MEAN], want[MEAN], rtol=0, atol=1e-6)
    same_p(found["p_value"], want["p_value"])


def test_consistency_of_labels(profiles, tmp_path) -> None:
    if "Plate" in profiles.obs:
        pytest.skip("a row of the published table: see test_phenotypic_activity.py")
    options = {"compat": "copairs", "n_null": N_NULL}
    ps.ev.phenotypic_consistency(profiles, "labels", activity_key=None, **options)
    table = profiles.uns["phenotypic_consistency"]
    found = table.set_index(table["label"].astype(str))
    perturbation, _, control = labels_of(profiles)
    labelled = profiles.obs["labels"].notna().to_numpy() & (perturbation != control)
    x = pd.DataFrame(np.asarray(profiles.X, np.float64)[labelled])
    consensus = x.groupby(perturbation[labelled]).median()
    of = profiles.obs["labels"][labelled].groupby(perturbation[labelled]).first()
    of = of.loc[consensus.index].str.split("|").tolist()
    peer = copairs_peer.consistency(consensus.to_numpy(), of)
    want = copairs_peer.means(peer, "label", tmp_path, null_size=N_NULL, seed=0)
    assert set(found.index[found["n_profiles"] > 1]) == set(want.index)
    found = found.loc[want.index]
    np.testing.assert_allclose(found[MEAN], want[MEAN], rtol=0, atol=1e-6)
    same_p(found["p_value"], want["p_value"])


def test_recall_is_efaars(profiles, papalexi_cells) -> None:
    """Known pairs are perturbations that share a label, some of them in both orders."""
    adata = profiles if "Plate" in profiles.obs else papalexi_cells
    perturbation, _, control = labels_of(adata)
    _, first = np.unique(labels_of(profiles)[0], return_index=True)
    of = profiles.obs["labels"].iloc[first].dropna().str.split("|").map(set)
    of.index = labels_of(profiles)[0][profiles.obs_names.get_indexer(of.index)]
    pairs = [p for p in itertools.permutations(of.index, 2) if of[p[0]] & of[p[1]]]
    known = pd.DataFrame(pairs, columns=["entity1", "entity2"])[::2]
    x = adata.X if "Plate" in profiles.obs else adata.obsm["X_centred"]
    adata.obsm["X_here"] = np.asarray(x, np.float64)
    ps.ev.relationship_recall(adata, "X_here", databases=known, min_shared=5)
    row = adata.uns["relationship_recall"].iloc[0]
    kept = perturbation != control
    want, n_pairs = efaar_formulas.recall(adata.obsm["X_here"][kept], perturbation[kept], known)
    assert (row["recall"], row["n_pairs"]) == (pytest.approx(want, abs=1e-6), n_pairs)
    assert 0.1 < want < 1


def test_consistency_is_efaars(profiles, papalexi_cells) -> None:
    """With ten perturbations as the null; its p-values have no + 1."""
    adata = profiles if "Plate" in profiles.obs else papalexi_cells
    perturbation, _, control = labels_of(adata)
    x = np.asarray(adata.X if "Plate" in profiles.obs else adata.obsm["X_centred"], np.float64)
    adata.obsm["X_here"] = x
    null = [p for p in np.unique(perturbation) if p != control][:10]
    ps.ev.consistency(adata, "X_here", null=null, min_null=10, match_sizes=False, diagonal=False)
    table = adata.uns["consistency"]
    found = table.set_index(table["perturbation"].astype(str))
    kept = perturbation != control
    want = efaar_formulas.consistency(x[kept], perturbation[kept], null).loc[found.index]
    np.testing.assert_allclose(found["similarity"], want["similarity"], rtol=0, atol=1e-6)
    np.testing.assert_allclose((found["p_value"] * 11 - 1) / 10, want["p_value"], atol=1e-6)
