"""Consistency: similarities and p-values are right, and uniform where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics.pairwise import cosine_similarity
from tests.ev.embedded import make_embedded, papalexi_pca
from tests.helpers import fingerprint, refused

import pertscope as ps


def table_of(adata, **keys):
    ps.ev.consistency(adata, "X_rep", **keys)
    return adata.uns["consistency"]


@pytest.mark.parametrize("diagonal", [True, False])
def test_similarity_is_the_mean_cosine(diagonal) -> None:
    adata = make_embedded(signal=2)
    adata.obsm["X_rep"][3] = 0  # points nowhere
    table = table_of(adata, diagonal=diagonal, n_permutations=5)
    for row in table.itertuples():
        own = (adata.obs["perturbation"] == row.perturbation).to_numpy()
        cosines = cosine_similarity(adata.obsm["X_rep"][own])
        pairs = cosines if diagonal else cosines[np.tril_indices(len(cosines), -1)]
        assert row.similarity == pytest.approx(pairs.mean(), rel=1e-10)
        assert row.n_cells == len(cosines)


def test_p_values_against_numpy() -> None:
    adata = make_embedded(8, signal=0.7, batch_effect=1, seed=3)
    table = table_of(adata, n_permutations=2000)
    x = adata.obsm["X_rep"] / np.linalg.norm(adata.obsm["X_rep"], axis=1, keepdims=True)
    batch = adata.obs["batch"].cat.codes.to_numpy()
    rng = np.random.default_rng(99)
    for row in table.itertuples():
        own = (adata.obs["perturbation"] == row.perturbation).to_numpy()
        null = (adata.obs["perturbation"] == "control").to_numpy()
        rows = [np.flatnonzero((batch == b) & (own | null)) for b in range(4)]
        n = [(own & (batch == b)).sum() for b in range(4)]

        def strength(orders, n=n):
            """Of the first n rows of each batch against the others."""
            means = [
                k * (x[o[:k]].mean(axis=0) - x[o[k:]].mean(axis=0))
                for o, k in zip(orders, n, strict=True)
            ]
            return np.linalg.norm(sum(means))

        observed = strength([o[np.argsort(~own[o], kind="stable")] for o in rows])
        higher = sum(strength([rng.permutation(o) for o in rows]) >= observed for _ in range(2000))
        expected = (1 + higher) / 2001
        error = 5 * np.sqrt(max(expected, 1e-3) * (1 - expected) * 2 / 2000)
        assert row.p_value == pytest.approx(expected, abs=error)
    np.testing.assert_allclose(table["p_adjusted"], stats.false_discovery_control(table["p_value"]))
    assert (table["significant"] == (table["p_value"] < 0.05)).all()
    assert fingerprint(table) == fingerprint(table_of(adata, n_permutations=2000).copy())


def test_null_perturbations() -> None:
    adata = make_embedded(40, signal=0, n_cells=12)
    moved = adata.obs["perturbation"].isin(["p0", "p1"]).to_numpy()
    adata.obsm["X_rep"][moved] += 3
    null = [f"p{i}" for i in range(2, 30)]
    table = table_of(adata, null=null, min_null=28).set_index("perturbation")
    assert sorted(table.index) == sorted({f"p{i}" for i in range(40)} - set(null))
    labels = adata.obs["perturbation"].to_numpy(str)

    def similarity(label):
        return cosine_similarity(adata.obsm["X_rep"][labels == label]).mean()

    known = np.array([similarity(p) for p in null])
    for label, row in table.iterrows():
        assert row["p_value"] == (1 + (known >= similarity(label)).sum()) / 29
    adata.obs["is_null"] = adata.obs["perturbation"].isin(null)
    again = table_of(adata, null="is_null", min_null=28).set_index("perturbation")
    assert again.equals(table)
    # fewer than wanted: their cells are the pool, and the shares hold no new perturbation
    pooled = table_of(adata, null=null, n_permutations=200).set_index("perturbation")
    assert sorted(pooled.index) == sorted(table.index)
    assert pooled.loc[["p0", "p1"], "p_value"].tolist() == [1 / 201] * 2


def test_as_efaar() -> None:
    """Its p-values have no + 1."""
    peer = pytest.importorskip(
        "efaar_benchmarking.benchmarking", reason="efaar_benchmarking is not installed"
    )
    adata = make_embedded(40, signal=0.5, n_cells=12)
    null = [f"p{i}" for i in range(2, 30)]
    table = table_of(adata, null=null, min_null=28, diagonal=False).set_index("perturbation")
    found = peer.pert_signal_consistency_benchmark(
        adata.obsm["X_rep"], adata.obs.astype(str), "perturbation", null, ["control"], n_jobs=1
    ).set_index("pert")
    np.testing.assert_allclose(table["similarity"], found["avgcossim"][table.index], rtol=1e-9)
    np.testing.assert_allclose(
        (table["p_value"] * 29 - 1) / 28, found["pval"][table.index], atol=1e-12
    )


@pytest.fixture(scope="module")
def nothing():
    """300 perturbations that do nothing, each in one of four batches, which differ much."""
    adata = make_embedded(300, n_cells=32, n_controls=400, batch_effect=2, seed=5)
    batch = adata.obs["batch"].cat.codes.to_numpy()
    number = adata.obs["perturbation"].str.removeprefix("p").replace("control", "-1").astype(int)
    kept = (number < 0) | ((number % 4) == batch)
    return adata[kept.to_numpy()].copy()


def test_p_values_are_uniform_under_the_null(nothing) -> None:
    p = table_of(nothing, n_permutations=500)["p_value"].to_numpy()
    assert stats.kstest(p, "uniform").pvalue > 0.01
    low, high = stats.binom(300, 0.05).ppf([0.001, 0.999]) / 300
    assert low <= (p < 0.05).mean() <= high


def test_they_are_not_where_batches_are_unknown(nothing) -> None:
    """The bound above can fail: without batches what they share looks consistent."""
    blind = nothing.copy()
    ps.pp.register(blind)
    p = table_of(blind, n_permutations=500)["p_value"].to_numpy()
    assert (p < 0.05).mean() > 0.3


def test_random_labels_are_the_floor() -> None:
    adata = make_embedded(200, n_cells=12, n_controls=200, signal=3)
    ps.pp.random_labels(adata, "X_rep", key_added="X_floor")
    ps.ev.consistency(adata, "X_floor", n_permutations=300, key_added="floor")
    low, high = stats.binom(200, 0.05).ppf([0.001, 0.999]) / 200
    assert low <= adata.uns["floor"]["significant"].mean() <= high
    assert table_of(adata, n_permutations=300)["significant"].mean() > 0.99


@pytest.mark.parametrize("process", ["center", "center_scale"])
def test_level_where_the_controls_are_the_centre(process) -> None:
    """Few controls: taking their mean away moves all other cells the same way."""
    shares = []
    for seed in range(3):
        part = make_embedded(100, n_cells=16, n_controls=64, seed=seed)
        getattr(ps.pp, process)(part, "X_rep", key_added="X_done")
        ps.ev.consistency(part, "X_done", n_permutations=200)
        shares.append(part.uns["consistency"]["significant"].mean())
    assert np.mean(shares) < 0.13


def test_covariates_are_kept_apart() -> None:
    adata = make_embedded(40, n_batches=2, n_controls=200)
    rng = np.random.default_rng(0)
    # the cells of a perturbation come from one line, controls from both
    line = rng.integers(0, 2, adata.n_obs)
    number = adata.obs["perturbation"].str.removeprefix("p").replace("control", "-1").astype(int)
    line = np.where(number < 0, line, number % 2)
    adata.obs["line"] = line.astype(str)
    adata.obsm["X_rep"] += 5 * line[:, None]
    ps.pp.register(adata, batch_key="batch", covariate_keys=["line"])
    assert table_of(adata, n_permutations=200)["significant"].mean() < 0.25


def test_papalexi(papalexi) -> None:
    adata = papalexi_pca(papalexi)
    ps.ev.consistency(adata, "X_centred", n_permutations=200)
    table = adata.uns["consistency"].set_index("perturbation")
    assert table.loc[["STAT1", "JAK2", "IFNGR1", "IFNGR2"], "p_value"].tolist() == [1 / 201] * 4
    strongest = table["similarity"].sort_values().index[-4:]
    assert {"IFNGR1", "IFNGR2", "JAK2", "STAT1"} == set(strongest)


def test_written_and_read(tmp_path) -> None:
    adata = make_embedded()
    table = table_of(adata, n_permutations=10)
    adata.write_h5ad(tmp_path / "x.h5ad")
    import anndata as ad

    back = ad.read_h5ad(tmp_path / "x.h5ad").uns["consistency"]
    assert back.astype({"perturbation": str}).equals(table.astype({"perturbation": str}))


def test_duplicates_and_constant_dimensions() -> None:
    adata = make_embedded()
    adata.obsm["X_rep"][:] = 1.0
    table = table_of(adata, n_permutations=20)
    np.testing.assert_allclose(table["similarity"], 1)
    assert (table["p_value"] == 1).all()


def test_a_single_cell() -> None:
    adata = make_embedded()
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(str)
    first = adata.obs_names[adata.obs["perturbation"] == "p0"][0]
    adata.obs.loc[first, "perturbation"] = "alone"
    with pytest.warns(UserWarning, match=r"1 perturbation.*single cell.*'alone'"):
        table = table_of(adata, n_permutations=20).set_index("perturbation")
    assert np.isnan(table.loc["alone", ["similarity", "p_value", "p_adjusted"]].astype(float)).all()
    assert not table.loc["alone", "significant"]
    assert table["p_adjusted"].notna().sum() == 6


@pytest.mark.parametrize("diagonal", [True, False])
def test_a_single_cell_beside_null_perturbations(diagonal) -> None:
    adata = make_embedded(8, signal=0)
    labels = adata.obs["perturbation"].astype(str).to_numpy(copy=True)
    tested, *null = sorted(set(labels) - {"control"})
    own = np.flatnonzero(labels == tested)
    labels[own[1:]] = "control"
    adata.obs["perturbation"] = labels
    with pytest.warns(UserWarning, match="single cell"):
        table = table_of(adata, null=null, min_null=2, diagonal=diagonal)
    assert np.isnan(table["p_value"]).all()


def test_bad_input() -> None:
    adata = make_embedded()
    bad = adata.copy()
    bad.obsm["X_rep"][5, 1] = np.nan
    with refused(bad, ValueError, r"NaN or infinite values in 1 row.*'cell5'"):
        ps.ev.consistency(bad, "X_rep")
    with refused(adata, KeyError, "`.obsm` has no 'X_rip'; nearest: 'X_rep'"):
        ps.ev.consistency(adata, "X_rip")
    with refused(adata, KeyError, r"`null` names 1 perturbation.*'p99'"):
        ps.ev.consistency(adata, "X_rep", null=["p99"])
    with refused(adata, KeyError, "no column 'bach'; nearest: 'batch'"):
        ps.ev.consistency(adata, "X_rep", null="bach")
    with refused(adata, TypeError, "must be boolean"):
        ps.ev.consistency(adata, "X_rep", null="batch")
    with refused(adata, ValueError, "every perturbation is in `null`"):
        ps.ev.consistency(adata, "X_rep", null=[f"p{i}" for i in range(6)])
    with refused(adata, ValueError, "must be at least 1"):
        ps.ev.consistency(adata, "X_rep", n_permutations=0)
    with refused(adata, ValueError, "must not be empty or contain"):
        ps.ev.consistency(adata, "X_rep", key_added="a/b")
    lost = (adata.obs["perturbation"] == "control") & (adata.obs["batch"] == "b2")
    part = adata[~lost.to_numpy()].copy()
    with refused(part, ValueError, r"1 batch.*perturbed cells but no null cells.*'b2'"):
        ps.ev.consistency(part, "X_rep")
