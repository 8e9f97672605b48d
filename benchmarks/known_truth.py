"""Models on simulated screens whose truth is known, three seeds each.

Prints, for transfer and combinations, the rank and the cosine with the *true* effects of the
held-out conditions, and which floors each network beats on both; what a probe reads from CPA's
basal states, with and without adversary; and how well SAMS-VAE's masks recover true sparse factors.
Widths and weights are the defaults; rates, epochs and batches are set, for time. Run with
``python benchmarks/known_truth.py``; it takes some minutes on two cores.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import sys
import time
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from _compare import BASELINES
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pertscope as ps
from pertscope._core.distances import cosine

SEEDS = (0, 1, 2)
ROUNDING = 1e-6
FLOORS = {
    "transfer": ["no_change", "mean_effect"],
    "combinations": ["no_change", "mean_effect", "additive"],
}
SIMPLE = {"sparse": False, "global_latents": False}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("linear", {"lr": 5e-3, "max_epochs": 50}),
    "latent_additive": ("latent_additive", {"max_epochs": 50}),
    "decoder_only": ("decoder_only", {"max_epochs": 50}),
    "cpa": ("cpa", {"lr": 2e-3, "max_epochs": 200}),
    "cpa_no_adversary": ("cpa", {"adversarial": False, "lr": 2e-3, "max_epochs": 80}),
    "sams_vae": ("sams_vae", {"lr": 3e-3, "max_epochs": 60}),
    "sams_vae_simple": ("sams_vae", SIMPLE | {"lr": 3e-3, "max_epochs": 60}),
    "biolord": ("biolord", {"max_epochs": 50}),
}
COMMON = {"batch_size": 128, "patience": 20, "accelerator": "cpu"}


def prepared(adata: ad.AnnData, covariate_keys: list[str]) -> ad.AnnData:
    """Registered and normalised."""
    ps.pp.register(adata, covariate_keys=covariate_keys)
    ps.pp.normalize(adata)
    return adata


def held_out(task: str, seed: int) -> pd.DataFrame:
    """Rank and cosine with the truth of every model."""
    adata = ps.datasets.simulate_screen(
        n_perturbations=30,
        n_combinations=30 if task == "combinations" else 0,
        n_genes=200,
        n_cells_per_condition=40,
        covariate_modulation=0.6,
        seed=seed,
    )
    prepared(adata, ["cell_type"])
    getattr(ps.pp, f"split_{task}")(adata, seed=seed)
    for name in BASELINES:
        getattr(ps.tl, f"fit_{name}")(adata)
    for key, (name, settings) in NETWORKS.items():
        fit = getattr(ps.tl, f"fit_{name}")
        fit(adata, seed=seed, key_added=key, **COMMON, **settings)
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


def names(adata: ad.AnnData) -> pd.DataFrame:
    """Condition of each row."""
    return adata.obs[["cell_type", "perturbation"]].astype(str)


def observed_control(adata: ad.AnnData, wanted: list[tuple[str, str]]) -> np.ndarray:
    """Mean of the observed controls of each condition."""
    controls = adata[adata.obs["perturbation"] == "control"]
    means = controls.to_df().groupby(controls.obs["cell_type"].astype(str)).mean()
    return means.loc[[c for c, _ in wanted]].to_numpy()


def probe(seed: int) -> pd.Series:
    """Balanced accuracy, over folds of cells that CPA never saw, of perturbations and controls.

    Of basal states as they are drawn, which are what the adversary clears, and of their means. The
    divergence is weak here: with few genes it would clear the states by itself.
    """
    adata = ps.datasets.simulate_screen(
        n_perturbations=5,
        n_genes=100,
        n_cells_per_condition=200,
        n_controls=400,
        covariates=("A", "B"),
        effect_size=1.0,
        shared_effect=0.3,
        guide_efficiency=1.0,
        seed=seed,
    )
    prepared(adata, ["cell_type"])
    kept = np.random.default_rng(seed).random(adata.n_obs) < 0.5
    train, rest = adata[kept].copy(), adata[~kept].copy()
    train.obs["split"] = "train"
    labels = rest.obs["perturbation"].astype(str).to_numpy()
    shuffled = np.random.default_rng(seed).permutation(labels)
    found = {}
    for adversarial, epochs in ((False, 30), (True, 120)):
        model = ps.models.CPA(train, adversarial=adversarial, n_latent=16, kl_weight=0.1, seed=seed)
        model.train(
            max_epochs=epochs, batch_size=64, lr=2e-3, early_stopping=False, accelerator="cpu"
        )
        z = model.get_latent_representation(rest, perturbed=False)
        name = "with adversary" if adversarial else "without adversary"
        found[f"{name}, draws"] = accuracy(draws(model, rest, seed), labels)
        found[f"{name}, means"] = accuracy(z, labels)
    return pd.Series(found | {"shuffled": accuracy(z, shuffled), "one in": len(set(labels))})


def draws(model: ps.models.CPA, adata: ad.AnnData, seed: int) -> np.ndarray:
    """Basal states of cells, drawn as in training."""
    autoencoder = getattr(model.module, "autoencoder", model.module)
    x = torch.from_numpy(adata.X.toarray()).float()
    torch.manual_seed(seed)
    with torch.no_grad():
        z = autoencoder.train().latent(x, None, x[:, :0]).numpy()
    autoencoder.eval()
    return z


def accuracy(z: np.ndarray, labels: np.ndarray) -> float:
    """Balanced accuracy of a linear probe, over five folds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return cross_val_score(model, z, labels, cv=5, scoring="balanced_accuracy").mean()


def masks(seed: int) -> pd.Series:
    """AUROC of SAMS-VAE's masks for the factors of ``x = (z + m * e) W + noise``."""
    rng = np.random.default_rng(seed)
    n_perturbations, n_factors, n_genes, n_cells = 30, 6, 40, 40
    true = np.zeros((n_perturbations, n_factors), bool)
    for i in range(n_perturbations):
        true[i, rng.choice(n_factors, 1 + i % 2, replace=False)] = True
    effects = true * rng.choice([-1, 1], true.shape) * rng.uniform(2, 4, true.shape)
    effects = np.vstack([effects, np.zeros(n_factors)])
    label = np.repeat(np.arange(n_perturbations + 1), [n_cells] * n_perturbations + [300])
    z = rng.normal(size=(len(label), n_factors)) + effects[label]
    x = z @ rng.normal(size=(n_factors, n_genes)) / np.sqrt(n_factors)
    x += 0.3 * rng.normal(size=x.shape)
    labels = np.array([f"p{i:02d}" for i in range(n_perturbations)] + ["control"])
    obs = {"perturbation": pd.Categorical(labels[label]), "split": "train"}
    index = [f"cell{i}" for i in range(len(label))]
    adata = ad.AnnData(x.astype(np.float32), obs=pd.DataFrame(obs, index=index))
    ps.pp.register(adata)
    found = {}
    for mean_field in (False, True):
        model = ps.models.SAMSVAE(
            adata, n_latent=8, n_layers=0, dropout=0.0, mean_field=mean_field, seed=seed
        )
        model.train(
            max_epochs=150, lr=0.03, batch_size=100, early_stopping=False, accelerator="cpu"
        )
        mask = torch.sigmoid(model.module.mask_logits).detach().numpy()
        kind = "mean field" if mean_field else "encoder sees effects"
        found[kind] = matched_auroc(mask, true)
        shuffled = [matched_auroc(mask[rng.permutation(len(mask))], true) for _ in range(20)]
        found[f"{kind}, shuffled"] = float(np.mean(shuffled))
    return pd.Series(found)


def matched_auroc(mask: np.ndarray, true: np.ndarray) -> float:
    """Mean AUROC over true factors, each matched to another latent dimension, best in total.

    Matching flatters any mask: shuffled ones say by how much.
    """
    table = np.array([[roc_auc_score(factor, column) for factor in true.T] for column in mask.T])
    return table[linear_sum_assignment(-table)].mean()


def measure(job: tuple[str, int]) -> pd.DataFrame | pd.Series:
    """One task under one seed, by one thread, in silence."""
    torch.set_num_threads(1)
    task, seed = job
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run = {"probe": probe, "masks": masks}.get(task)
        result = run(seed) if run else held_out(task, seed)
    seconds = time.perf_counter() - start
    print(f"{task}, seed {seed}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return result


def report_held_out(task: str, tables: list[pd.DataFrame]) -> None:
    """Print mean and standard deviation over seeds, and the floors that each network beats."""
    grouped = pd.concat(tables, keys=SEEDS).groupby(level="prediction", sort=False)
    mean, sd = grouped.mean(), grouped.std()
    shown = mean.join(sd, rsuffix="_sd").sort_values("rmse_rank_mean").round(3)
    print(f"\n{task}, over {len(SEEDS)} seeds\n{shown.to_string()}")
    floors = mean.loc[FLOORS[task]]
    for name in NETWORKS:
        won = mean.loc[name, "rmse_rank_mean"] < floors["rmse_rank_mean"]
        won &= mean.loc[name, "cosine_true_effect"] > floors["cosine_true_effect"]
        lost = floors.index[~won].tolist()
        verdict = f"does NOT beat {lost}" if lost else f"beats {floors.index.tolist()}"
        print(f"{name} {verdict}, on rank and cosine")


def main() -> None:
    """Measure, two jobs at a time, and print."""
    os.environ["OMP_NUM_THREADS"] = "1"
    tasks = (*FLOORS, "probe", "masks")
    jobs = [(task, seed) for task in tasks for seed in SEEDS]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = dict(zip(jobs, pool.map(measure, jobs, chunksize=1), strict=True))
    for task in FLOORS:
        report_held_out(task, [results[task, seed] for seed in SEEDS])
    for task, title in (
        ("probe", "CPA: balanced accuracy of a probe of perturbations on the basal state"),
        ("masks", "SAMS-VAE: AUROC of masks for true factors"),
    ):
        table = pd.DataFrame({seed: results[task, seed] for seed in SEEDS})
        shown = pd.DataFrame({"mean": table.mean(axis=1), "sd": table.std(axis=1)}).round(3)
        print(f"\n{title}, over {len(SEEDS)} seeds\n{shown.to_string()}")


if __name__ == "__main__":
    main()
