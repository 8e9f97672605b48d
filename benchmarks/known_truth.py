"""Models on simulated screens whose true effects are known, three seeds, transfer and combinations.

Prints the rank, and the cosine with the *true* effects of the held-out conditions. Run with
``python benchmarks/known_truth.py``.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pandas as pd
from _compare import BASELINES

import pertscope as ps
from pertscope._core.distances import cosine

SEEDS = (0, 1, 2)
ROUNDING = 1e-6
FLOORS = {
    "transfer": ["no_change", "mean_effect"],
    "combinations": ["no_change", "mean_effect", "additive"],
}


def one(task: str, seed: int) -> pd.DataFrame:
    """Rank and cosine with the truth of every model."""
    adata = ps.datasets.simulate_screen(
        n_perturbations=30,
        n_combinations=30 if task == "combinations" else 0,
        n_genes=300,
        n_cells_per_condition=40,
        covariate_modulation=0.6,
        seed=seed,
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    with contextlib.redirect_stdout(io.StringIO()):
        getattr(ps.pp, f"split_{task}")(adata, seed=seed)
    for name in BASELINES:
        getattr(ps.tl, f"fit_{name}")(adata)
    with contextlib.redirect_stderr(io.StringIO()):
        ps.tl.fit_linear(adata, lr=5e-3, max_epochs=80, seed=seed)
        ps.tl.fit_decoder_only(adata, max_epochs=80, seed=seed)
        ps.tl.fit_latent_additive(adata, max_epochs=80, seed=seed)
    ps.ev.rank_metrics(adata)
    table = ps.get.scores(adata)["mean"][["rmse_rank_mean"]].copy()
    truth = adata.uns["simulation"]["truth"]
    effect = truth.to_df(layer="effect").set_index(pd.MultiIndex.from_frame(names(truth)))
    test = ps.get.conditions(adata).query("split == 'test'")
    wanted = list(zip(test["cell_type"], test["perturbation"], strict=True))
    for name in table.index:
        prediction = ps.get.prediction(adata, name)
        mean = prediction.to_df().set_index(pd.MultiIndex.from_frame(names(prediction)))
        found = mean.loc[wanted].to_numpy() - observed_control(adata, wanted)
        found[np.abs(found) < ROUNDING] = 0  # of float32
        table.loc[name, "cosine_true_effect"] = cosine(found, effect.loc[wanted].to_numpy()).mean()
    return table


def names(adata: object) -> pd.DataFrame:
    """Condition of each row."""
    return adata.obs[["cell_type", "perturbation"]].astype(str)


def observed_control(adata: object, wanted: list[tuple[str, str]]) -> object:
    """Mean of the observed controls of each condition."""
    controls = adata[adata.obs["perturbation"] == "control"]
    means = controls.to_df().groupby(controls.obs["cell_type"].astype(str)).mean()
    return means.loc[[c for c, _ in wanted]].to_numpy()


def main() -> None:
    """Print one table per task, and say whether LatentAdditive beats every floor."""
    for task in ("transfer", "combinations"):
        tables = [one(task, seed) for seed in SEEDS]
        together = pd.concat(tables, keys=SEEDS)
        mean = together.groupby(level="prediction", sort=False).mean()
        print(f"\n{task}, mean over {len(SEEDS)} seeds")
        print(mean.sort_values("rmse_rank_mean").round(3))
        ours = mean.loc["latent_additive"]
        floors = mean.loc[FLOORS[task]]
        won = ours["rmse_rank_mean"] < floors["rmse_rank_mean"]
        won &= ours["cosine_true_effect"] > floors["cosine_true_effect"]
        print(f"latent_additive beats, on rank and on cosine: {won.to_dict()}")


if __name__ == "__main__":
    main()
