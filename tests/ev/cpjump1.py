"""The CPJUMP1 plates as a registered screen of wells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import pandas as pd
import pytest

import pertscope as ps

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "cpjump1_compound_7plates"
N_TARGETS = 758


def load(data_dir: Path) -> ad.AnnData:
    """2,688 wells x 602 features without brightfield; DMSO is the control, plates are batches."""
    files = sorted((data_dir / FOLDER).glob("BR*.csv.gz"))
    if not files:
        pytest.skip(f"no real data: {FOLDER} is not in {data_dir}")
    table = pd.concat([pd.read_csv(f, low_memory=False) for f in files], ignore_index=True)
    features = [
        name
        for name in table
        if not (name.startswith("Metadata_") or "ZBF" in name or "Brightfield" in name)
    ]
    targets = pd.read_csv(
        data_dir / FOLDER / "JUMP-Target-1_compound_metadata_additional_annotations.tsv", sep="\t"
    )
    obs = table[["Metadata_broad_sample", "Metadata_Plate", "Metadata_Well"]].rename(
        columns=lambda name: name.removeprefix("Metadata_")
    )
    of_compound = targets.dropna(subset=["broad_sample"]).set_index("broad_sample")["target_list"]
    obs["target_list"] = obs["broad_sample"].map(of_compound)
    obs["broad_sample"] = obs["broad_sample"].fillna("DMSO")
    obs.index = obs["Plate"] + "_" + obs["Well"]
    adata = ad.AnnData(table[features].to_numpy(), obs=obs, var=pd.DataFrame(index=features))
    ps.pp.register(
        adata,
        perturbation_key="broad_sample",
        control="DMSO",
        batch_key="Plate",
        combination_separator=None,
    )
    return adata
