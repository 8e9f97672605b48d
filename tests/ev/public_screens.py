"""Small stand-ins for the files of public screens, where ``ps.datasets.load`` finds them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import yaml
from tests.helpers import dense

import pertscope as ps
from pertscope.datasets import _registry
from pertscope.ev._evaluator import Evaluator

if TYPE_CHECKING:
    from pathlib import Path

GENES = [f"g{i}" for i in range(40)]


class Shelf:
    """Stand-ins in a cache, under the shipped registry but for their checksums."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.cache.mkdir()
        self.path = folder / "registry.yaml"
        self.entries = yaml.safe_load(_registry.REGISTRY.read_text(encoding="utf-8"))

    def put(self, name: str, obs: pd.DataFrame, *, logged: bool = False) -> None:
        rng = np.random.default_rng(0)
        level = rng.lognormal(0.5, 0.7, len(GENES))
        strength = pd.factorize(obs.iloc[:, 0])[0][:, None] * np.arange(len(GENES)) % 7 / 7
        x = rng.poisson(level * np.exp(strength)).astype(np.float32)
        x[:, 0] += 1
        obs.index = [f"cell{i}" for i in range(len(obs))]
        adata = ad.AnnData(sp.csr_matrix(x), obs=obs, var=pd.DataFrame(index=GENES))
        if logged:
            adata.layers["counts"] = adata.X.copy()
            adata.X = sp.csr_matrix(np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4))
        entry = self.entries[name]
        entry["file"] = f"{name}.h5ad"
        adata.write_h5ad(self.cache / entry["file"])
        found = hashlib.sha256((self.cache / entry["file"]).read_bytes()).hexdigest()
        entry["checksum"] = f"sha256:{found}"
        self.path.write_text(yaml.safe_dump(self.entries), encoding="utf-8")

    def task(self, name: str, **arguments: Any) -> Evaluator:
        return Evaluator(name, cache=self.cache, registry=self.path, **arguments)


def cross(n_cells: int, n_controls: int, labels: list[str], *, control: str, **places: list[str]):
    """`n_cells` of every label, in every combination of the places."""
    grid = pd.MultiIndex.from_product([[control, *labels], *places.values()])
    table = grid.to_frame(index=False, name=["label", *places])
    repeats = np.where(table["label"] == control, n_controls, n_cells)
    return table.loc[table.index.repeat(repeats)].reset_index(drop=True)


def put_norman(shelf: Shelf) -> None:
    singles = ["A", "B", "C", "D", "E"]
    pairs = [f"{a}_{b}" for i, a in enumerate(singles) for b in singles[i + 1 :]]
    table = cross(8, 20, singles + pairs, control="control", cell_line=["K562"])
    obs = table.rename(columns={"label": "perturbation"})
    shelf.put("norman19", obs.assign(gemgroup=np.arange(len(obs)) % 2))


def put_srivatsan(shelf: Shelf) -> None:
    compounds = [f"c{i}" for i in range(188)]
    table = cross(
        2, 8, compounds, control="control", cell_line=["A549", "K562", "MCF7"], dose=["10", "10000"]
    )
    dose = np.where(table["label"] == "control", 0.0, table["dose"].astype(float))
    obs = table.rename(columns={"label": "perturbation"}).drop(columns="dose")
    shelf.put("srivatsan20", obs.assign(dose_value=dose, replicate="r1"))


def put_mcfaline(shelf: Shelf) -> None:
    drugs = ["none", "nintedanib", "zstk474", "lapatinib", "trametinib"]
    table = cross(
        2,
        8,
        [f"p{i}" for i in range(12)],
        control="control",
        cell_type=["a172", "t98g", "u87mg"],
        treatment=drugs,
    )
    shelf.put("mcfaline23", table.rename(columns={"label": "condition"}), logged=True)


def put_frangieh(shelf: Shelf) -> None:
    places = ["Control", "Co-culture", "IFN"]
    table = cross(3, 8, [f"p{i}" for i in range(12)], control="control", perturbation_2=places)
    shelf.put("frangieh21", table.rename(columns={"label": "perturbation"}))


def put_jiang(shelf: Shelf) -> None:
    table = cross(
        2,
        8,
        ["p0", "p1", "p2", "p3"],
        control="control",
        cell_type=["k562", "mcf7", "ht29", "hap1", "a549", "bxpc3"],
        treatment=["IFNB", "IFNG", "INS", "TGFB", "TNFA"],
    )
    shelf.put("jiang24", table.rename(columns={"label": "condition"}), logged=True)


def put_op3(shelf: Shelf) -> None:
    cells = ["T cells", "NK cells", "B cells", "Myeloid cells"]
    table = cross(100, 8, ["CC", "CCO", "CN"], control="C[S+](C)[O-]", cell_type=cells)
    few = (table["label"] == "CC") & (table["cell_type"] == "B cells")
    table = table.drop(table.index[few][:1])
    shelf.put("op3", table.rename(columns={"label": "SMILES"}), logged=True)


PUT = {
    "norman19": put_norman,
    "srivatsan20": put_srivatsan,
    "frangieh21": put_frangieh,
    "jiang24": put_jiang,
    "mcfaline23": put_mcfaline,
    "op3": put_op3,
}


def means_of(screen: ad.AnnData, noise: float, seed: int = 0) -> ad.AnnData:
    """Observed means of the test conditions, with noise."""
    table = ps.get.conditions(screen)
    table = table[~table["is_control"] & (table["split"] == "test")]
    keys_ = ps.get.screen(screen).screen.condition_keys
    labels = pd.MultiIndex.from_frame(screen.obs[keys_].astype(str))
    x = dense(screen.X)
    rows = pd.MultiIndex.from_frame(table[keys_].astype(str))
    means = np.stack([x[labels == row].mean(axis=0) for row in rows])
    change = np.random.default_rng(seed).normal(0, noise, means.shape)
    obs = table[keys_].astype(str)
    return ad.AnnData((means + change).clip(0), obs=obs, var=screen.var[[]])
