"""The whole path on a simulated screen: register, split, fit, predict, judge, show.

``make demo`` runs it, prints the score table and writes ``demo_scores.png``.
"""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd

import pertscope as ps

mpl.use("Agg")
SHOWN = ["rmse_mean", "cosine_logfc", "rmse_rank_mean", "cosine_rank_logfc"]


def main() -> None:
    """Run the demo."""
    adata = ps.datasets.simulate_screen(
        n_perturbations=24, n_combinations=24, n_genes=300, n_cells_per_condition=60, seed=0
    )
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    ps.pp.normalize(adata)
    print(ps.get.screen(adata), end="\n\n")
    ps.pp.split_combinations(adata, seed=0)

    ps.tl.fit_no_change(adata)
    ps.tl.fit_mean_effect(adata)
    ps.tl.fit_additive(adata)
    ps.tl.fit_bilinear(adata)
    ps.tl.fit_linear(adata, max_epochs=30, lr=5e-3)
    ps.tl.fit_decoder_only(adata, max_epochs=30)
    ps.tl.fit_latent_additive(adata, max_epochs=30)

    ps.ev.error_metrics(adata)
    ps.ev.rank_metrics(adata)
    table = ps.get.scores(adata, metrics=SHOWN)["mean"].sort_values("rmse_rank_mean")
    with pd.option_context("display.width", 120):
        print(
            "\nHeld-out combinations, mean over conditions; a rank of 0 is perfect, 0.5 random:\n"
        )
        print(table.round(3).to_string())
    ps.pl.scores(adata, metrics=SHOWN)[0].figure.savefig("demo_scores.png", dpi=150)
    print("\nwrote demo_scores.png")


if __name__ == "__main__":
    main()
