"""Floors and ceilings of the default metrics, and experimental errors, on real screens.

devel (K562 combinations, one half of the doubles held out) and the Papalexi ECCITE-seq screen
(three replicates). Run with ``python benchmarks/bounds.py``; it needs the data of the tests.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING

import anndata as ad
import pandas as pd
from _data import find

import pertscope as ps

if TYPE_CHECKING:
    from anndata import AnnData

METRICS = ["l2_effect", "rmse_effect", "pearson_effect", "deg_f1_t-test"]


def devel() -> AnnData:
    """K562 combinations, each part of a held-out one seen in train."""
    adata = ad.read_h5ad(find("perturbench_devel/devel.h5ad"))
    adata = adata[adata.obs["cell_type"] == "k562"].copy()
    ps.pp.register(adata, perturbation_key="condition", covariate_keys=["cell_type"])
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_combinations(adata, seen="parts")
    return adata


def papalexi() -> AnnData:
    """Every perturbation of the ECCITE-seq screen; there is nothing to hold out."""
    adata = ad.read_h5ad(find("sceptre_papalexi_lowmoi/papalexi_lowmoi.h5ad"))
    ps.pp.register(adata, control="non-targeting", batch_key="bio_rep")
    ps.pp.normalize(adata)
    return adata


def bounds(adata: AnnData, split: str | None) -> pd.DataFrame:
    """Floor and ceiling of every default metric, and the score of predicted control cells."""
    model = ps.tl.fit_no_change(adata) if split else None
    if model is None:
        controls = adata[adata.obs["perturbation"] == "non-targeting"]
        labels = [p for p in adata.obs["perturbation"].unique() if p != "non-targeting"]
        cells = ad.concat(
            [controls[i :: len(labels)] for i in range(len(labels))], keys=labels, label="to"
        )
        cells.obs["perturbation"] = cells.obs["to"].astype(str)
        cells.obs_names_make_unique()
        ps.pp.add_prediction(adata, cells, "controls")
    else:
        ps.tl.predict(adata, model, key_added="controls", cells_per_condition=100)
    ps.ev.evaluate(adata, "controls", split=split)
    table = ps.get.scores(adata).loc["controls"].unstack(level=0)  # noqa: PD010
    names = adata.uns["evaluation"].astype(str).drop_duplicates(["metric", "statistic"])
    names.index = names["metric"] + "_" + names["statistic"]
    table["floor of"] = names["floor_name"]
    return table[["floor", "ceiling", "mean", "floor of"]].rename(columns={"mean": "controls"})


def main() -> None:
    """Print all tables."""
    warnings.filterwarnings("ignore", "received a view")
    pd.set_option("display.width", 120)
    for name, adata, split in (("devel", devel(), "test"), ("Papalexi", papalexi(), None)):
        print(f"\n{name}: floors and ceilings, and predicted control cells")
        print(bounds(adata, split).round(3).to_string())
    adata = papalexi()
    print("\nPapalexi: experimental error, hierarchical bootstrap over 3 replicates, 10 x 10")
    ps.ev.ceiling(adata, metrics=METRICS, method="hierarchical-bootstrap")
    table = adata.uns["ceiling"]
    table["score"] = table["metric"].astype(str) + "_" + table["statistic"].astype(str)
    curve = table.groupby(["quantile", "score"], observed=True)["value"].median().unstack()  # noqa: PD010
    print("median over perturbations, by quantile of the replicates")
    print(curve.round(3).iloc[[0, 2, 5, 10, 15, 18, 20]].to_string())
    at = table[(table["quantile"].round(2) == 0.9) & (table["score"] == "l2_effect")]
    effects = ps.get.effects(adata)
    size = (effects**2).sum(axis=1) ** 0.5
    per = at.set_index("perturbation")["value"]
    strong = pd.DataFrame({"experimental error": per, "size of effect": size})
    strong["ratio"] = strong["size of effect"] / strong["experimental error"]
    print("perturbations whose effect is larger than the experimental error (l2, q = 0.9)")
    print(strong.sort_values("ratio", ascending=False).head(8).round(3).to_string())


if __name__ == "__main__":
    main()
