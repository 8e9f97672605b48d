"""All models on real data: PerturBench's devel screen, three seeds.

Combinations in K562, and transfer among three glioma lines. Reads
``perturbench_devel/devel.h5ad`` under ``$PERTSCOPE_DATA`` or ``../shared/data``. Run with
``python benchmarks/devel.py [FOLDER]``: FOLDER keeps the results, and a run that was stopped goes
on from there.
"""

from __future__ import annotations

import sys
import tempfile

from _data import find

import pertscope as ps

SEEDS = (0, 1, 2)
MAX_EPOCHS = 60
DEVEL = {
    "dataset": str(find("perturbench_devel/devel.h5ad")),
    "screen": {"perturbation_key": "condition", "covariate_keys": ["cell_type"]},
    "metrics": [
        "cosine_logfc",
        "cosine_rank_logfc",
        "cosine_transposed_rank_logfc",
        "half_energy_distance_pca",
        "deg_recall_at_20_t-test",
        "rmse_mean",
        "rmse_rank_mean",
        "rmse_transposed_rank_mean",
    ],
}
K562 = DEVEL | {"keep": {"cell_type": ["k562"]}}
GLIOMA = DEVEL | {"keep": {"cell_type": ["A172", "T98G", "U87MG"]}}
TASKS = [
    K562 | {"name": "k562-combinations", "split": {"split_combinations": {}}},
    K562 | {"name": "k562-parts", "split": {"split_combinations": {"seen": "parts"}}},
    GLIOMA | {"name": "glioma-transfer", "split": {"split_transfer": {"max_fraction": 0.5}}},
]
MODELS = {
    "CPA": "cpa",
    "CPA (noAdv)": {"model": "cpa", "adversarial": False},
    "SAMS-VAE": "sams_vae",
    "SAMS-VAE (S)": {"model": "sams_vae", "sparse": False, "global_latents": False},
    "Biolord": "biolord",
    "LA": "latent_additive",
    "Decoder": "decoder_only",
    "Decoder (Pert)": {"model": "decoder_only", "inputs": "perturbation"},
    "Decoder (Cov)": {"model": "decoder_only", "inputs": "covariates"},
    "Linear": {"model": "linear", "lr": 5e-3},
    "Bilinear": "bilinear",
    "Additive": "additive",
    "Mean effect": "mean_effect",
    "Mean effect (global)": {"model": "mean_effect", "per_covariate": False},
    "No change": "no_change",
}


def main() -> None:
    """Print one table per task."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = sys.argv[1] if len(sys.argv) > 1 else temporary
        scores = ps.bench.run(TASKS, MODELS, seeds=SEEDS, results=folder, max_epochs=MAX_EPOCHS)
    for task in scores["task"].unique():
        print(f"\n{task}, mean and s.d. over {len(SEEDS)} seeds of split and model\n")
        print(ps.bench.to_text(scores[scores["task"] == task], models=list(MODELS)))


if __name__ == "__main__":
    main()
