"""Small stand-ins for the files of public screens, where ``ps.datasets.load`` finds them.

Columns, labels and their traps are those that the files are documented to have: names of compounds
that hold the separator, cells of no line, gene names that occur twice, Greek letters, SMILES, dense
matrices, compressed files.
"""

from __future__ import annotations

import gzip
import hashlib
import warnings
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
SCPERTURB_GENES = [*GENES[:-1], "g0"]
"""Symbols of scPerturb's files are not unique."""


class Shelf:
    """Stand-ins in a cache, under the shipped registry but for their checksums."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.cache.mkdir()
        self.path = folder / "registry.yaml"
        self.entries = yaml.safe_load(_registry.REGISTRY.read_text(encoding="utf-8"))

    def put(self, name: str, obs: pd.DataFrame, *, logged: bool = False, dense: bool = False):
        rng = np.random.default_rng(0)
        level = rng.lognormal(0.5, 0.7, len(GENES))
        strength = pd.factorize(obs.iloc[:, 0])[0][:, None] * np.arange(len(GENES)) % 7 / 7
        x = rng.poisson(level * np.exp(strength)).astype(np.float32)
        x[:, 0] += 1
        obs.index = [f"cell{i}" for i in range(len(obs))]
        var = pd.DataFrame(index=GENES if logged else SCPERTURB_GENES)
        entry = self.entries[name]
        path = self.cache / entry["file"]
        plain = path.with_suffix("") if path.suffix == ".gz" else path
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Variable names are not unique", UserWarning)
            adata = ad.AnnData(x if dense else sp.csr_matrix(x), obs=obs, var=var)
            if logged:
                adata.layers["counts"] = adata.X.copy()
                adata.X = sp.csr_matrix(np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4))
                adata.uns["log1p"] = {"base": None}
            adata.write_h5ad(plain)
        if plain != path:
            path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
            plain.unlink()
        entry["checksum"] = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
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
    named = ["(+)-JQ1", "ENMD-2076 L-(+)-Tartaric acid", "Abexinostat (PCI-24781)"]
    compounds = named + [f"c{i}" for i in range(185)]
    table = cross(
        2, 8, compounds, control="control", cell_line=["A549", "K562", "MCF7"], dose=["10", "10000"]
    )
    dose = np.where(table["label"] == "control", 0.0, table["dose"].astype(float))
    obs = table.rename(columns={"label": "perturbation"}).drop(columns="dose")
    obs = obs.assign(dose_value=dose, replicate="rep1")
    no_line = pd.DataFrame({"perturbation": [None] * 5, "cell_line": [None] * 5})
    shelf.put("srivatsan20", pd.concat([obs, no_line], ignore_index=True))


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
    places = ["Control", "Co-culture", "IFN\u03b3"]
    table = cross(3, 8, [f"p{i}" for i in range(12)], control="control", perturbation_2=places)
    shelf.put("frangieh21", table.rename(columns={"label": "perturbation"}), dense=True)


def put_jiang(shelf: Shelf) -> None:
    table = cross(
        2,
        8,
        [f"p{i}" for i in range(10)],
        control="control",
        cell_type=["k562", "mcf7", "ht29", "hap1", "a549", "bxpc3"],
        treatment=["IFNB", "IFNG", "INS", "TGFB", "TNFA"],
    )
    shelf.put("jiang24", table.rename(columns={"label": "condition"}), logged=True)


def put_op3(shelf: Shelf) -> None:
    cells = ["T cells", "NK cells", "B cells", "Myeloid cells"]
    smiles = ["C/C=C\\C#N", "CC(=O)[O-].[Na+]", "C[N+](C)(C)C", "C1CC1", "CCO", "CN"]
    table = cross(100, 8, smiles, control="C[S+](C)[O-]", cell_type=cells)
    few = (table["label"] == smiles[0]) & (table["cell_type"] == "B cells")
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


def cells_of(screen: ad.AnnData) -> ad.AnnData:
    """Observed perturbed cells of the test part: a perfect prediction."""
    entry = ps.get.screen(screen).screen
    chosen = (screen.obs["split"] == "test") & (screen.obs[entry.perturbation_key] != entry.control)
    cells = screen[chosen.to_numpy()]
    obs = cells.obs[entry.condition_keys].astype(str)
    return ad.AnnData(cells.X.copy(), obs=obs, var=screen.var[[]])


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
