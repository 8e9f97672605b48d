"""Recall of known pairs in the tails of all pairs."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity
from tests.ev.embedded import make_embedded
from tests.helpers import fingerprint, refused

import pertscope as ps
from pertscope.ev import _pair_quantiles
from pertscope.ev._pair_quantiles import (
    order_statistics,
    pair_order_statistics,
    pair_values,
)


def some_pairs(n: int, of: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, of, (n, 2))
    return pd.DataFrame([[f"p{a}", f"p{b}"] for a, b in pairs], columns=["entity1", "entity2"])


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(_pair_quantiles, "BLOCK_VALUES", 40)


@given(
    values=st.lists(
        st.floats(-1, 1) | st.sampled_from([0.0, -0.0, 0.5, -1.0]), min_size=1, max_size=300
    ),
    data=st.data(),
)
def test_order_statistics(values, data) -> None:
    ranks = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=3))
    x = np.array(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pair_quantiles, "FEW", 10)
        found = order_statistics(lambda: iter(np.array_split(x, 3)), ranks)
    assert found == np.sort(x)[ranks].tolist()


@pytest.mark.parametrize("n", [2, 3, 17, 60])
def test_blocks_cover_every_pair_once(small_blocks, n) -> None:
    x = np.random.default_rng(0).normal(size=(n, 3))
    expected = (x @ x.T)[np.triu_indices(n, 1)]
    found = np.concatenate(list(pair_values(x)))
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-12)
    assert max(values.size for values in pair_values(x)) <= max(40, n)


@pytest.mark.parametrize("few", [2**22, 20])
@pytest.mark.parametrize("distinct", [1, 2, 3, 200])
def test_order_statistics_of_pairs(monkeypatch, few, distinct) -> None:
    """Also where most vectors are the same, and where the sample is of little help."""
    monkeypatch.setattr(_pair_quantiles, "FEW", few)
    monkeypatch.setattr(_pair_quantiles, "BLOCK_VALUES", 2_000)
    rng = np.random.default_rng(1)
    x = np.eye(3)[:1] if distinct == 1 else rng.normal(size=(distinct, 3))
    x = x[rng.integers(0, len(x), 200)]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    every = np.sort((x @ x.T)[np.triu_indices(200, 1)])
    ranks = [0, 1, 995, 9_950, 18_905, len(every) - 1]
    found = pair_order_statistics(x, ranks)
    np.testing.assert_allclose(found, every[ranks], atol=1e-14)


@pytest.mark.parametrize("tails", [(0.05, 0.95), (0.0, 0.9), (0.2, 1.0), (0.1, 0.5)])
def test_against_numpy(small_blocks, tails) -> None:
    adata = make_embedded(40, signal=1, n_cells=4)
    known = some_pairs(300, 44)  # both orders, pairs of one gene, genes that are not there
    ps.ev.relationship_recall(adata, "X_rep", databases=known, tails=tails)
    (row,) = adata.uns["relationship_recall"].itertuples()
    means = pd.DataFrame(adata.obsm["X_rep"]).groupby(adata.obs["perturbation"].to_numpy(str))
    means = means.mean().drop(index="control")
    cosines = cosine_similarity(means)
    every = np.sort(cosines[np.triu_indices(40, 1)])
    place = {name: i for i, name in enumerate(means.index)}
    pairs = {
        tuple(sorted((place[a], place[b])))
        for a, b in known.itertuples(index=False)
        if a in place and b in place and a != b
    }
    hits = [
        np.searchsorted(every, cosines[i, j] + 1e-12) <= tails[0] * len(every)
        or np.searchsorted(every, cosines[i, j] - 1e-12) >= tails[1] * len(every)
        for i, j in pairs
    ]
    assert row.n_pairs == len(pairs)
    assert row.n_shared == len(set(itertools.chain(*pairs)))
    assert row.recall == pytest.approx(np.mean(hits))
    assert row.floor == pytest.approx(tails[0] + 1 - tails[1])


def test_several_representations_are_one_table() -> None:
    adata = make_embedded(40, signal=1, n_cells=4)
    adata.obsm["X_other"] = np.random.default_rng(3).normal(size=(adata.n_obs, 5))
    databases = [some_pairs(300, 40), some_pairs(200, 40)]
    ps.ev.relationship_recall(adata, ["X_rep", "X_other"], databases=databases)
    table = adata.uns["relationship_recall"]
    assert table.index.is_unique
    assert table["representation"].tolist() == ["X_rep", "X_rep", "X_other", "X_other"]
    for name, rows in table.groupby("representation", observed=True):
        ps.ev.relationship_recall(adata, name, databases=databases, key_added="alone")
        alone = adata.uns["alone"].astype({"representation": str})
        of_both = rows.astype({"representation": str}).set_index(alone.index)
        pd.testing.assert_frame_equal(of_both, alone)
    with refused(adata, ValueError, "must name representations, each once"):
        ps.ev.relationship_recall(adata, ["X_rep", "X_rep"], databases=databases)


def test_order_and_repetition_do_not_matter() -> None:
    adata = make_embedded(40, signal=1, n_cells=4)
    known = some_pairs(200, 40)
    turned = known.rename(columns={"entity1": "entity2", "entity2": "entity1"})
    ps.ev.relationship_recall(adata, "X_rep", databases=known)
    one = fingerprint(adata.uns["relationship_recall"])
    ps.ev.relationship_recall(adata, "X_rep", databases=pd.concat([known, turned, known]))
    assert fingerprint(adata.uns["relationship_recall"]) == one


def test_as_efaar(data_dir, tmp_path) -> None:
    """On Reactome, HuMAP and StringDB, with random vectors for 600 of their genes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip(
            "efaar_benchmarking.benchmarking", reason="efaar_benchmarking is not installed"
        )
    from sklearn.utils import Bunch

    folder = data_dir / "gene_relationships"
    files = [folder / f"{n}.txt" for n in ("Reactome", "HuMAP", "StringDB")]
    genes = pd.unique(pd.concat([pd.read_csv(f) for f in files])["entity1"])[:600]
    adata = make_embedded(600, signal=1, n_cells=1, n_batches=1)
    names = {f"p{i}": g for i, g in enumerate(genes)}
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str).replace(names)
    ps.ev.relationship_recall(adata, "X_rep", databases=files)
    table = adata.uns["relationship_recall"].set_index("database")
    kept = (adata.obs["perturbation"] != "control").to_numpy()
    found = peer.known_relationship_benchmark(
        Bunch(features=pd.DataFrame(adata.obsm["X_rep"][kept]), metadata=adata.obs[kept]),
        "perturbation",
        benchmark_sources=list(table.index),
        benchmark_data_dir=str(folder),
    ).set_index("source")
    for name in table.index:
        assert table.loc[name, "recall"] == found.loc[name, "recall_0.05_0.95"]
        assert table.loc[name, "n_pairs"] == found.loc[name, "query_distribution_size"]


def test_signal_and_none() -> None:
    """Genes of a group share their effect, and pairs within groups are known."""
    adata = make_embedded(120, n_cells=4, n_controls=40)
    group = adata.obs["perturbation"].str.removeprefix("p").replace("control", "0").astype(int) // 6
    shift = np.random.default_rng(1).normal(size=(20, 8)) * 3
    adata.obsm["X_rep"] += shift[group.to_numpy()]
    known = [
        [f"p{6 * g + a}", f"p{6 * g + b}"]
        for g in range(20)
        for a, b in itertools.combinations(range(6), 2)
    ]
    known = pd.DataFrame(known, columns=["entity1", "entity2"])
    ps.pp.random_labels(adata, "X_rep", key_added="X_floor")
    ps.ev.relationship_recall(adata, "X_rep", databases=known)
    assert adata.uns["relationship_recall"]["recall"].item() > 0.8
    ps.ev.relationship_recall(adata, "X_floor", databases=known)
    assert adata.uns["relationship_recall"]["recall"].item() == pytest.approx(0.1, abs=0.06)


def test_duplicated_vectors() -> None:
    """All pairs are alike: none is in a tail."""
    adata = make_embedded(30)
    adata.obsm["X_rep"][:] = [1, 0, 0, 0, 0, 0, 0, 0]
    ps.ev.relationship_recall(adata, "X_rep", databases=some_pairs(100, 30))
    assert adata.uns["relationship_recall"]["recall"].item() == 0


def test_several_databases() -> None:
    adata = make_embedded(30, signal=1)
    few = pd.DataFrame({"entity1": ["p0", "x"], "entity2": ["p1", "y"]})
    few.attrs["name"] = "few"
    with pytest.warns(UserWarning, match=r"1 database.*fewer than 20.*'few \(2\)'"):
        ps.ev.relationship_recall(adata, "X_rep", databases=[some_pairs(90, 30), few])
    table = adata.uns["relationship_recall"].set_index("database")
    assert list(table.index) == ["table 1", "few"]
    assert np.isnan(table.loc["few", "recall"])
    ps.ev.relationship_recall(adata, "X_rep", databases=[some_pairs(90, 30), few], min_shared=2)
    both = adata.uns["relationship_recall"].set_index("database")
    assert both.loc["few", "recall"] in (0, 1)
    assert both.loc["table 1", "recall"] == table.loc["table 1", "recall"]


def test_bad_input() -> None:
    adata = make_embedded(30)
    none = pd.DataFrame({"entity1": ["TP53"], "entity2": ["MDM2"]})
    with refused(adata, ValueError, r"no database relates.*'table 1 \(0\)'.*named as their genes"):
        ps.ev.relationship_recall(adata, "X_rep", databases=none)
    with refused(adata, ValueError, "no database relates"):
        ps.ev.relationship_recall(adata, "X_rep", databases="sample")
    with refused(adata, ValueError, "`databases` is empty"):
        ps.ev.relationship_recall(adata, "X_rep", databases=[])
    with refused(adata, KeyError, "no relationships 'reactom'.*nearest: 'reactome'"):
        ps.ev.relationship_recall(adata, "X_rep", databases="reactom")
    with refused(adata, ValueError, "the lower one first"):
        ps.ev.relationship_recall(adata, "X_rep", databases=some_pairs(90, 30), tails=(0.9, 0.1))
    adata.obsm["X_rep"][0, 0] = np.nan
    with refused(adata, ValueError, "NaN or infinite"):
        ps.ev.relationship_recall(adata, "X_rep", databases=some_pairs(90, 30))
