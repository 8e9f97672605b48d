"""The CPJUMP1 plates as a registered screen of wells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import pertscope as ps

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad

FOLDER = "cpjump1_compound_7plates"
N_TARGETS = 758


def load(data_dir: Path) -> ad.AnnData:
    """2,688 wells x 602 features without brightfield; DMSO is the control, plates are batches."""
    folder = data_dir / FOLDER
    files = sorted(folder.glob("BR*.csv.gz"))
    if not files:
        pytest.skip(f"no real data: {FOLDER} is not in {data_dir}")
    adata = ps.datasets.read_cell_painting(files)
    adata = adata[:, ~adata.var_names.str.contains("ZBF|Brightfield")].copy()
    adata.X = adata.X.astype(np.float64)  # peers compute in it
    obs = adata.obs[["Metadata_broad_sample", "Metadata_Plate", "Metadata_Well"]].astype(object)
    obs.columns = obs.columns.str.removeprefix("Metadata_")
    annotations = "JUMP-Target-1_compound_metadata_additional_annotations.tsv"
    targets = pd.read_csv(folder / annotations, sep="\t").dropna(subset=["broad_sample"])
    of_compound = targets.set_index("broad_sample")["target_list"]
    obs["target_list"] = obs["broad_sample"].map(of_compound)
    obs["broad_sample"] = obs["broad_sample"].fillna("DMSO")
    adata.obs = obs
    ps.pp.register(
        adata,
        perturbation_key="broad_sample",
        control="DMSO",
        batch_key="Plate",
        combination_separator=None,
    )
    return adata
