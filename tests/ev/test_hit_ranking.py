"""Effects against SciPy, ranking against scikit-learn."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist, pdist
from scipy.stats import wasserstein_distance
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.helpers import refused

import pertscope as ps
from pertscope.ev._hit_ranking import effects, summary


@pytest.fixture
def adata():
    """Two lines of 40 controls and 120 perturbations in two wells; the first 20 are hits."""
    rng = np.random.default_rng(0)
    labels = ["control"] * 40 + [f"p{i:03d}" for i in range(120) for _ in range(2)]
    obs = pd.DataFrame(
        {"perturbation": labels * 2, "line": np.repeat(["a", "b"], 280)},
        index=[f"w{i}" for i in range(560)],
    )
    obs["hit"] = obs["perturbation"].isin([f"p{i:03d}" for i in range(20)])
    x = rng.normal(size=(560, 5)) @ rng.normal(size=(5, 5))
    x[obs["hit"] & (obs["line"] == "a")] += 4
    made = ad.AnnData(x, obs=obs)
    ps.pp.register(made, covariate_keys=["line"])
    return made


def by_definition(treated: np.ndarray, controls: np.ndarray, eps: float) -> float:
    centred = controls - controls.mean(axis=0)
    u, s, vt = np.linalg.svd(np.cov(centred.T, ddof=0))
    whiten = u @ np.diag((s + eps) ** -0.5) @ vt  # turned as ZCA, which changes no distance
    a, b = (treated - controls.mean(axis=0)) @ whiten, centred @ whiten
    return wasserstein_distance(pdist(b), cdist(a, b).ravel())


def test_effects(rng) -> None:
    controls = rng.normal(size=(30, 4)) * [1, 5, 0.1, 2]
    treated = [rng.normal(size=(n, 4)) + shift for n, shift in ((1, 0), (3, 2), (40, 0))]
    found = effects(treated, controls, eps=1e-5)
    np.testing.assert_allclose(found, [by_definition(t, controls, 1e-5) for t in treated])
    constant = np.hstack([controls, np.ones((30, 1))])
    moved = effects([np.hstack([treated[0], [[1.1]]])], constant, eps=1e-5)
    assert moved[0] == pytest.approx(
        wasserstein_distance(*_with_constant(treated[0], controls)), rel=1e-6
    )


def _with_constant(treated, controls):
    """Distances where one more dimension never varies among controls: 0.1 / sqrt(eps) apart."""
    value, axes = np.linalg.eigh(np.cov(controls.T, ddof=0))
    whiten = axes / np.sqrt(value + 1e-5)
    across = np.hypot(cdist(treated @ whiten, controls @ whiten), 0.1 / np.sqrt(1e-5))
    return across.ravel(), pdist(controls @ whiten)


@given(
    effect=hnp.arrays(np.float64, st.integers(3, 40), elements=st.integers(0, 60).map(float)),
    data=st.data(),
)
def test_summary(effect, data) -> None:
    effect = np.unique(effect)
    is_hit = data.draw(hnp.arrays(bool, len(effect)))
    n, n_hits, recall_50, recall_100, auroc, aupr = summary(effect, is_hit)
    assert (n, n_hits) == (len(effect), is_hit.sum())
    if n_hits in (0, n):
        assert np.isnan([recall_50, recall_100, auroc, aupr]).all()
        return
    assert recall_50 == recall_100 == 1
    assert auroc == pytest.approx(roc_auc_score(is_hit, effect))
    assert aupr == pytest.approx(average_precision_score(is_hit, effect))


def test_recall_counts_ties_in_part() -> None:
    effect = np.r_[np.full(40, 2.0), np.full(20, 1.0), np.zeros(60)]
    is_hit = np.zeros(120, bool)
    is_hit[[0, 40, 41, 119]] = True
    # all of the first 40, and 10 of the next 20, which hold two hits; then 40 of the last 60
    assert summary(effect, is_hit)[2] == pytest.approx((1 + 2 * 10 / 20) / 4)
    assert summary(effect, is_hit)[3] == pytest.approx((3 + 40 / 60) / 4)


def test_tables(adata, tmp_path) -> None:
    ps.ev.hit_ranking(adata, "hit")
    table, lines = adata.uns["hit_ranking"], adata.uns["hit_ranking_summary"].set_index("line")
    x, obs = adata.X, adata.obs
    for row in table[table["line"] == "b"].iloc[:5].itertuples():
        here = (obs["line"] == "b").to_numpy()
        treated = x[here & (obs["perturbation"] == row.perturbation).to_numpy()]
        controls = x[here & (obs["perturbation"] == "control").to_numpy()]
        assert row.effect == pytest.approx(by_definition(treated, controls, 1e-5))
        assert row.n_profiles == 2
    for line, of_line in table.groupby("line", observed=True):
        assert sorted(of_line["rank"]) == list(range(1, 121))
        assert of_line.sort_values("rank")["effect"].is_monotonic_decreasing
        assert lines["auroc"][line] == pytest.approx(
            roc_auc_score(of_line["is_hit"], of_line["effect"])
        )
        hits = of_line[of_line["is_hit"]]
        assert lines["recall_at_50"][line] == (hits["rank"] <= 50).mean()
        assert lines["recall_at_100"][line] == (hits["rank"] <= 100).mean()
    assert lines["auroc"]["a"] > 0.99
    assert lines["auroc"]["b"] < 0.8
    assert lines["n_hits"].tolist() == [20, 20]
    adata.write_h5ad(tmp_path / "x.h5ad")


def test_bad_input(adata) -> None:
    with refused(adata, KeyError, "no column 'hits'; nearest: 'hit'"):
        ps.ev.hit_ranking(adata, "hits")
    with refused(adata, ValueError, "`eps`=0 must be positive"):
        ps.ev.hit_ranking(adata, "hit", eps=0)
    adata.obs["mixed"] = np.arange(560) % 2 == 0
    with refused(adata, ValueError, r"differs between rows of 'a\|p000'"):
        ps.ev.hit_ranking(adata, "mixed")
    adata.obs["number"] = 1
    with refused(adata, ValueError, "must be boolean, it is int"):
        ps.ev.hit_ranking(adata, "number")
    kept = adata[np.r_[:2, 40:560]].copy()
    with refused(kept, ValueError, r"'a' has 2 control\(s\): at least 3"):
        ps.ev.hit_ranking(kept, "hit")
