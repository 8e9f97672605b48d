"""Public functions on screens that hold nothing: p-values are uniform where they say so."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pertscope as ps

N_SCREENS = 25


def noise(seed: int, *, n_perturbations: int = 20, n_each: int = 1, n_controls: int = 16):
    """Four plates, each with controls and all perturbations; everything is noise."""
    labels = ["control"] * n_controls + [f"p{i:02d}" for i in range(n_perturbations)] * n_each
    obs = pd.DataFrame(
        {"perturbation": labels * 4, "plate": np.repeat([*"abcd"], len(labels))},
        index=[f"w{i}" for i in range(4 * len(labels))],
    )
    rng = np.random.default_rng(seed)
    adata = ad.AnnData(np.zeros((len(obs), 1), np.float32), obs=obs)
    adata.obsm["R"] = rng.normal(size=(len(obs), 50))
    adata.obs["target"] = adata.obs["perturbation"].map(
        {f"p{i:02d}": f"t{rng.integers(6)}|t{rng.integers(6)}" for i in range(n_perturbations)}
    )
    ps.pp.register(adata, batch_key="plate")
    return adata


def activity(adata, **options) -> np.ndarray:
    ps.ev.phenotypic_activity(adata, "R", n_null=2_000, **options)
    return adata.uns["phenotypic_activity"]["p_value"].to_numpy()


def of_labels(adata, **options) -> np.ndarray:
    ps.ev.phenotypic_consistency(adata, "target", "R", activity_key=None, n_null=2_000, **options)
    return adata.uns["phenotypic_consistency"]["p_value"].dropna().to_numpy()


def share_below(screens: list[np.ndarray]) -> tuple[float, float]:
    """Share of p-values at or below 0.05, and its standard error between screens."""
    below = np.array([np.mean(p <= 0.05) for p in screens])
    return float(below.mean()), float(below.std(ddof=1) / np.sqrt(len(below)))


@pytest.mark.parametrize("measure", [activity, of_labels])
def test_default_null_is_uniform_and_others_are_not(measure) -> None:
    cases = {"shared": {}, "independent": {"null": "independent"}, "copairs": {"compat": "copairs"}}
    adatas = [noise(seed) for seed in range(N_SCREENS)]
    found = {name: [measure(a, **o) for a in adatas] for name, o in cases.items()}
    share, error = share_below(found["shared"])
    assert abs(share - 0.05) < 4 * error
    every = np.concatenate(found["shared"])
    # p-values of one screen share controls or labels: twice the distance of independent ones
    assert stats.kstest(every, "uniform").statistic < 2 * stats.kstwo.isf(0.01, len(every))
    if measure is activity:
        assert share_below(found["independent"])[0] > 0.07
        assert share_below(found["copairs"])[0] < 0.03


def test_controls_that_were_fitted_on_are_no_fair_negatives() -> None:
    """With those that were held out the level holds; plates differ by their maps, hence no more."""
    apart, same = [], []
    for seed in range(N_SCREENS):
        adata = noise(seed, n_controls=48)
        fitted = (adata.obs["perturbation"] == "control") & (np.arange(adata.n_obs) % 2 == 0)
        held_out = adata[~fitted].copy()
        ps.pp.tvn(held_out, "R", fit_on=adata[fitted].copy(), key_added="R")
        apart.append(activity(held_out))
        ps.pp.tvn(adata, "R", key_added="R")
        same.append(activity(adata))
    share, error = share_below(apart)
    assert share < 0.05 + 3 * error
    assert share_below(same)[0] > 0.09


@pytest.mark.parametrize("diagonal", [True, False])
def test_small_perturbations_among_large_null_ones(diagonal) -> None:
    """40 null perturbations of 12 cells, 20 tested of 4; fewer null cells for one of them."""
    null = [f"p{i:02d}" for i in range(40)]
    matched, unmatched = [], []
    for seed in range(N_SCREENS):
        adata = noise(seed, n_perturbations=60, n_each=3)
        number = adata.obs.groupby(["perturbation", "plate"]).cumcount().to_numpy()
        is_null = adata.obs["perturbation"].isin(null).to_numpy()
        adata = adata[is_null | (number == 0)].copy()
        options = {"null": null, "min_null": 40, "diagonal": diagonal, "seed": seed}
        for found, match_sizes in ((matched, True), (unmatched, False)):
            ps.ev.consistency(adata, "R", match_sizes=match_sizes, **options)
            assert (adata.uns["consistency"]["n_cells"] == 4).all()
            found.append(adata.uns["consistency"]["p_value"].to_numpy())
    share, error = share_below(matched)
    assert abs(share - 2 / 41) < 4 * error  # p is a multiple of 1 / 41
    assert share_below(unmatched)[0] > (0.9 if diagonal else 0.12)
