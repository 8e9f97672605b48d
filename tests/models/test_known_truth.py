"""On simulated screens, models find what is there, and collapsed predictions are told as such."""

from __future__ import annotations

import contextlib
import functools
import io

import numpy as np
import pytest
from tests.helpers import dense

import pertscope as ps
from pertscope._core.distances import PAIRWISE, cosine

SHORT = {"max_epochs": 40, "lr": 3e-3, "batch_size": 128, "accelerator": "cpu"}
NETWORKS = {
    "linear": SHORT | {"lr": 1e-2},
    "latent_additive": SHORT | {"n_hidden": 64, "n_latent": 32},
    "decoder_only": SHORT | {"n_hidden": 64},
}
STATISTICS = ("mean", "effect", "logfc")
COLLAPSED = ("no_change", "mean_effect", "covariates")


@functools.cache
def _judged(kind: str):
    """Screen with every model's prediction, and the true effects of the test conditions."""
    transfer = kind == "transfer"
    adata = ps.datasets.simulate_screen(
        n_perturbations=18 if transfer else 14,
        n_combinations=0 if transfer else 40,
        n_genes=100,
        n_cells_per_condition=25,
        n_controls=150,
        covariates=("A", "B", "C") if transfer else ("A",),
        effect_size=0.8,
        shared_effect=0.3,
        guide_efficiency=1.0,
        fraction_interacting=0.0,
        seed=2,
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    with contextlib.redirect_stdout(io.StringIO()):
        (ps.pp.split_transfer if transfer else ps.pp.split_combinations)(adata)
    for name in ("no_change", "mean_effect", "additive", "bilinear"):
        getattr(ps.tl, f"fit_{name}")(adata)
    for name, settings in NETWORKS.items():
        getattr(ps.tl, f"fit_{name}")(adata, **settings)
    ps.tl.fit_decoder_only(
        adata,
        inputs="covariates",
        n_hidden=8,
        max_epochs=2,
        accelerator="cpu",
        key_added="covariates",
    )
    return adata


@pytest.fixture(params=["transfer", "combinations"])
def screen(request):
    return _judged(request.param).copy()


def true_cosine(adata) -> dict[str, float]:
    """Mean cosine of predicted with true effects over the test conditions."""
    truth = adata.uns["simulation"]["truth"]
    obs = adata.obs
    means = {
        c: dense(adata.X)[
            ((obs["cell_type"] == c) & (obs["perturbation"] == "control")).to_numpy()
        ].mean(0)
        for c in obs["cell_type"].unique()
    }
    test = obs[(obs["split"] == "test") & (obs["perturbation"] != "control")]
    names = (test["cell_type"].astype(str) + "|" + test["perturbation"].astype(str)).unique()
    controls = np.stack([means[n.split("|")[0]] for n in names])
    true = truth[names].layers["effect"]
    return {
        key: float(cosine(p[names].X - controls, true).mean())
        for key, p in adata.uns["pertscope"]["predictions"].items()
    }


def test_models_beat_the_floors(screen) -> None:
    ps.ev.rank_metrics(screen)
    ranks = ps.get.scores(screen)["mean"][["rmse_rank_mean", "cosine_rank_logfc"]]
    found = true_cosine(screen)
    for name in (*NETWORKS, "additive", "bilinear"):
        assert (ranks.loc[name] < (0.45 if name == "bilinear" else 0.3)).all(), ranks
        assert found[name] > max(found[n] for n in COLLAPSED), found


def test_additive_is_near_exact_without_interaction() -> None:
    found = true_cosine(_judged("combinations"))
    assert found["additive"] > 0.93


@pytest.mark.parametrize("prediction", COLLAPSED)
def test_collapsed_predictions_rank_one_half(screen, prediction) -> None:
    pairs = [(d, s) for d in PAIRWISE for s in STATISTICS]
    ps.ev.rank_metrics(screen, prediction, distances=pairs)
    table = screen.uns["rank_metrics"]
    is_rank = ~table["metric"].astype(str).str.contains("transposed")
    assert (table.loc[is_rank, "value"] == 0.5).all()  # each and every one
    mean = ps.get.scores(screen)["mean"].loc[prediction]
    assert len(mean) == 2 * len(pairs)
    np.testing.assert_allclose(mean, 0.5, rtol=1e-12)
    ps.ev.rank_metrics(screen, prediction, distances=pairs, ties="worst")
    table = screen.uns["rank_metrics"]
    assert (table.loc[is_rank, "value"] == 1).all()
