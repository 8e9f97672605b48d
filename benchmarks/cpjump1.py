"""Published phenotypic activity and consistency of CPJUMP1's compounds, and ours.

Table D17 of CHAMMI-75, row "CellProfiler (paper)": 306 compounds on 7 plates of U2OS cells in
CellProfiler features without brightfield. Compounds that do not pass an FDR of 0.05 count as 0, and
so do targets. Printed for the null of copairs, with which the figures were made, and for ours. Run
with ``python benchmarks/cpjump1.py``; half a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from _data import find

import pertscope as ps

if TYPE_CHECKING:
    import anndata as ad

FOLDER = "cpjump1_compound_7plates"
ANNOTATIONS = "JUMP-Target-1_compound_metadata_additional_annotations.tsv"
PUBLISHED = {"active, %": 81.70, "mAP": 58.71, "consistency": 4.00}
FDR = 0.05


def load() -> ad.AnnData:
    """2,688 wells x 602 features, registered: DMSO is the control, plates are batches."""
    folder = find(FOLDER)
    adata = ps.datasets.read_cell_painting(sorted(folder.glob("BR*.csv.gz")))
    adata = adata[:, ~adata.var_names.str.contains("ZBF|Brightfield")].copy()
    obs = adata.obs.astype(object)
    obs.columns = obs.columns.str.removeprefix("Metadata_")
    targets = pd.read_csv(folder / ANNOTATIONS, sep="\t").dropna(subset=["broad_sample"])
    of_compound = targets.set_index("broad_sample")["target_list"]
    obs["target_list"] = obs["broad_sample"].map(of_compound)
    obs["broad_sample"] = obs["broad_sample"].fillna("DMSO")
    adata.obs = obs[["broad_sample", "gene", "target_list", "Plate", "Well"]]
    ps.pp.register(
        adata,
        perturbation_key="broad_sample",
        control="DMSO",
        batch_key="Plate",
        combination_separator=None,  # names of compounds are no combinations
    )
    return adata


def passing_mean(table: pd.DataFrame) -> float:
    """Mean average precision over all rows, in percent, 0 where a row does not pass."""
    passing = table["corrected_p_value"] < FDR
    return 100 * float((table["mean_average_precision"] * passing).sum()) / len(table)


def figures(adata: ad.AnnData, **options: str) -> dict[str, float]:
    """The three figures of the table."""
    ps.ev.phenotypic_activity(adata, n_null=100_000, seed=0, **options)
    ps.ev.phenotypic_consistency(adata, "target_list", n_null=20_000, seed=0, **options)
    activity = adata.uns["phenotypic_activity"]
    active = activity["corrected_p_value"] < FDR
    found = (
        100 * float(active.mean()),
        passing_mean(activity),
        passing_mean(adata.uns["phenotypic_consistency"]),
    )
    return dict(zip(PUBLISHED, found, strict=True))


def main() -> None:
    """Print one row per null."""
    adata = load()
    rows = {
        "published": PUBLISHED,
        "null of copairs": figures(adata, compat="copairs"),
        "shared similarities (default)": figures(adata),
        "independent draws": figures(adata, null="independent"),
    }
    print(pd.DataFrame(rows).T.round(2).to_string())


if __name__ == "__main__":
    main()
