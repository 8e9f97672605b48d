"""Votes of neighbours in other batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from tests.ev.embedded import make_embedded, papalexi_pca
from tests.helpers import fingerprint, refused

import pertscope as ps
from pertscope.ev._accuracy import accuracies
from pertscope.ev._vote_kernels import rank_votes


def values(adata, rep="X_rep", **keys) -> dict[str, float]:
    ps.ev.knn_accuracy(adata, rep, **keys)
    table = adata.uns["knn_accuracy"]
    return table.groupby("metric", observed=True)["value"].mean().to_dict()


@st.composite
def votes(draw):
    k = draw(st.integers(1, 7))
    n = draw(st.integers(1, 5))
    labels = draw(st.lists(st.integers(0, 6), min_size=k * n, max_size=k * n))
    weights = draw(st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=k * n, max_size=k * n))
    return np.array(labels).reshape(n, k), np.array(weights).reshape(n, k)


@given(votes())
def test_ranking_of_votes(drawn) -> None:
    labels, weights = drawn
    found = rank_votes(labels, weights, 7, 5)
    for label, weight, ranked in zip(labels, weights, found, strict=True):
        seen = sorted(
            set(label), key=lambda g: (-weight[label == g].sum(), np.flatnonzero(label == g)[0])
        )
        assert ranked.tolist() == (seen + [-1] * 5)[:5]


def test_accuracies_against_sklearn() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 9, 200), rng.normal(size=(200, 9))
    found = accuracies(np.argsort(-scores, axis=1)[:, :5], truth)
    labels = np.arange(9)
    for k, name in ((1, "top1_accuracy"), (5, "top5_accuracy")):
        assert found[name] == pytest.approx(top_k_accuracy_score(truth, scores, k=k, labels=labels))
    expected = balanced_accuracy_score(truth, scores.argmax(axis=1))
    assert found["balanced_accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("weights", ["uniform", "softmax", "inverse_distance"])
def test_against_numpy(metric, weights) -> None:
    adata = make_embedded(7, signal=2, n_cells=20)
    ps.pp.split_batches(adata, seed=1)
    if weights == "softmax" and metric == "euclidean":
        with refused(adata, ValueError, "needs `metric`='cosine'"):
            ps.ev.knn_accuracy(adata, "X_rep", metric=metric, weights=weights)
        return
    found = values(adata, metric=metric, weights=weights, split_key="batch_split")
    split = adata.obs["batch_split"].astype(str).to_numpy()
    label = adata.obs["perturbation"].astype(str).to_numpy()
    x = adata.obsm["X_rep"]
    train = (split == "train") & (label != "control")
    test = (split == "test") & (label != "control")
    distances = cdist(x[test], x[train], metric)
    k = int(np.sqrt(train.sum()))
    assert (adata.uns["knn_accuracy"]["n_neighbors"] == k).all()
    first, among = [], []
    for row, truth in zip(distances, label[test], strict=True):
        near = np.argsort(row, kind="stable")[:k]
        weight = {
            "uniform": np.ones(k),
            "softmax": np.exp((1 - row[near]) / 0.07),
            "inverse_distance": 1 / (row[near] + 1e-5),
        }[weights]
        names = label[train][near]
        order = sorted(set(names), key=lambda g: (-weight[names == g].sum(), list(names).index(g)))
        first.append(order[0] == truth)
        among.append(truth in order[:5])
    assert found["top1_accuracy"] == pytest.approx(np.mean(first))
    assert found["top5_accuracy"] == pytest.approx(np.mean(among))


def test_against_sklearn() -> None:
    """Two labels and an odd number of neighbours: nothing is tied."""
    adata = make_embedded(2, signal=1.5, n_cells=80)
    ps.pp.split_batches(adata)
    found = values(adata, n_neighbors=9, split_key="batch_split")
    kept = adata[adata.obs["perturbation"] != "control"]
    train, test = (kept[kept.obs["batch_split"] == s] for s in ("train", "test"))
    peer = KNeighborsClassifier(9).fit(train.obsm["X_rep"], train.obs["perturbation"].to_list())
    expected = peer.score(test.obsm["X_rep"], test.obs["perturbation"].to_list())
    assert found["top1_accuracy"] == pytest.approx(expected)


def test_signal_and_none() -> None:
    adata = make_embedded(10, signal=6, n_cells=40, batch_effect=0.5)
    assert values(adata)["top1_accuracy"] > 0.9
    ps.pp.random_labels(adata, "X_rep", key_added="X_floor")
    floor = values(adata, "X_floor")
    assert floor["top1_accuracy"] == pytest.approx(1 / 10, abs=0.05)
    assert floor["top5_accuracy"] == pytest.approx(5 / 10, abs=0.08)
    table = adata.uns["knn_accuracy"]
    assert table["seed"].unique().tolist() == [0, 1, 2, 3, 4]
    again = fingerprint(table)
    values(adata, "X_floor")
    assert fingerprint(adata.uns["knn_accuracy"]) == again


def test_the_floor_of_the_paper_is_a_frequent_control() -> None:
    adata = make_embedded(20, n_cells=16, n_controls=640)
    ps.pp.random_labels(adata, "X_rep", key_added="X_floor")
    kept = values(adata, "X_floor", drop_controls=False)["top1_accuracy"]
    assert kept == pytest.approx(640 / 960, abs=0.05)


def test_papalexi(papalexi) -> None:
    adata = papalexi_pca(papalexi)
    found = values(adata, "X_centred", n_seeds=2)
    ps.pp.random_labels(adata, "X_centred", key_added="X_floor")
    floor = values(adata, "X_floor", n_seeds=2)
    assert found["balanced_accuracy"] > 1.3 * floor["balanced_accuracy"]
    assert found["top5_accuracy"] > floor["top5_accuracy"]


def test_duplicated_points_are_neighbours() -> None:
    adata = make_embedded(3)
    adata.obsm["X_rep"][:] = 0
    assert 0 <= values(adata)["top1_accuracy"] <= 1


def test_a_perturbation_in_one_batch_is_left_out() -> None:
    adata = make_embedded(4, signal=3)
    lost = (adata.obs["perturbation"] == "p0") & (adata.obs["batch"] != "b1")
    part = adata[~lost.to_numpy()].copy()
    values(part)
    assert (part.uns["knn_accuracy"]["n_labels"] == 3).all()


def test_bad_input() -> None:
    adata = make_embedded(3)
    for keys, match in (
        ({"metric": "manhattan"}, "`metric`='manhattan' must be one of"),
        ({"weights": "none"}, "`weights`='none' must be one of"),
        ({"n_neighbors": 0}, "`n_neighbors`=0 must be at least 1"),
        ({"n_neighbors": 10_000}, "`n_neighbors`=10000, the reference has"),
        ({"n_seeds": 0}, "`n_seeds` must be at least 1"),
        ({"train_fraction": 1}, "`train_fraction`=1 must be above 0"),
    ):
        with refused(adata, ValueError, match):
            ps.ev.knn_accuracy(adata, "X_rep", **keys)
    with refused(adata, KeyError, "no split 'batches'; nearest: 'batch'"):
        ps.ev.knn_accuracy(adata, "X_rep", split_key="batches")
    adata.obs["mixed"] = np.where(np.arange(adata.n_obs) % 2, "train", "test")
    with refused(adata, ValueError, r"4 batch\(es\) in train and in test: 'b0'"):
        ps.ev.knn_accuracy(adata, "X_rep", split_key="mixed")
    adata.obs["all_train"] = "train"
    with refused(adata, ValueError, "no perturbed cell in 'test'"):
        ps.ev.knn_accuracy(adata, "X_rep", split_key="all_train")
    one = make_embedded(3, n_batches=1)
    with refused(one, ValueError, "the screen has one batch"):
        ps.ev.knn_accuracy(one, "X_rep")
    ps.pp.register(one)
    with refused(one, ValueError, "has no batches, which this needs"):
        ps.ev.knn_accuracy(one, "X_rep")
    apart = make_embedded(4)
    number = apart.obs["perturbation"].str.removeprefix("p").replace("control", "-1").astype(int)
    kept = (number < 0) | (number == apart.obs["batch"].cat.codes.to_numpy())
    apart = apart[kept.to_numpy()].copy()
    with refused(apart, ValueError, "perturbations must occur in several batches"):
        ps.ev.knn_accuracy(apart, "X_rep")
