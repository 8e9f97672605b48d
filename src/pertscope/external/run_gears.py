"""Train GEARS on what :func:`pertscope.tl.fit_gears` wrote, and predict.

Needs cell-gears, torch-geometric, requests and anndata, and no pertscope::

    python run_gears.py FOLDER

Reads ``cells.h5ad`` (cells of train and val) and ``request.json`` (settings and the conditions
wanted) from the folder. Writes ``report.json`` before it trains: the perturbations outside GEARS's
graph. Then ``model/``, and ``prediction.h5ad``, which :func:`pertscope.pp.add_prediction` takes.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

CONTROL = "ctrl"
GRAPH_FILES = ("gene2go_all.pkl", "essential_all_data_pert_genes.pkl", "go_essential_all")
"""What GEARS downloads, under the names by which it finds them again."""


class SparseRows(sp.csr_matrix):
    """Rows chosen by a pandas Series, as GEARS does and SciPy 1.15 and later refuse."""

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key.to_numpy() if isinstance(key, pd.Series) else key)


class RefusedError(Exception):
    """GEARS cannot do what was asked; said before it trains."""


def genes_of(condition: str) -> list[str]:
    """Perturbed genes of GEARS's name of a condition: ``["A", "B"]`` of ``"A+B"``."""
    return [gene for gene in condition.split("+") if gene != CONTROL]


def check_graph(
    graph: set[str], cells: ad.AnnData, wanted: list[dict[str, Any]], *, skip: bool
) -> tuple[list[str], list[str]]:
    """Perturbed genes outside the graph, and the conditions that they leave out.

    GEARS itself takes cells of such genes for controls.
    """
    names = [*map(str, cells.obs["condition"].unique()), *(w["condition"] for w in wanted)]
    outside = sorted({gene for name in names for gene in genes_of(name)} - graph)
    lost = sorted({name for name in names if set(genes_of(name)) & set(outside)})
    if outside and not skip:
        raise RefusedError(
            f"{len(outside)} perturbation(s) are not in GEARS's gene graph, which leaves out "
            f"{len(lost)} condition(s): {', '.join(outside)}. Use the names of Gene Ontology, "
            "drop them, or pass missing='skip'."
        )
    perturbed = ~cells.obs["condition"].isin([*lost, CONTROL])
    left = {
        part: bool((perturbed & (cells.obs["split"] == part)).any())
        for part in cells.obs["split"].unique()
    }
    left["the conditions to predict"] = any(w["condition"] not in lost for w in wanted)
    empty = [part for part, some in left.items() if not some]
    if empty:
        raise RefusedError(
            f"without the perturbations outside GEARS's gene graph ({', '.join(outside)}) nothing "
            f"is left in {', '.join(empty)}."
        )
    return outside, lost


def copy_graph(source: Path, target: Path) -> None:
    """Copy the files of the gene graph that are in `source` and not in `target`."""
    target.mkdir(parents=True, exist_ok=True)
    for name in GRAPH_FILES:
        if not (source / name).exists() or (target / name).exists():
            continue
        part = target / f"{name}.{os.getpid()}.part"  # appears under its name only when complete
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        copy(source / name, part)
        part.rename(target / name)


def train(data: Any, cells: ad.AnnData, settings: dict[str, Any], work: Path) -> Any:
    """Trained GEARS."""
    import torch
    from gears import GEARS

    conditions = cells.obs["condition"].astype(str)
    split = {
        part: conditions[cells.obs["split"] == part].unique().tolist() for part in ("train", "val")
    }
    split["test"] = []  # nothing of it leaves the screen
    path = work / "split.pkl"
    path.write_bytes(pickle.dumps(split))
    data.new_data_process(dataset_name="screen", adata=cells)
    data.prepare_split(split="custom", seed=settings["seed"], split_dict_path=str(path))
    data.get_dataloader(batch_size=settings["batch_size"])
    data.dataloader.pop("test_loader", None)  # it is empty: GEARS would judge itself by it
    accelerator = settings["accelerator"]
    if accelerator == "auto":
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    device = "cuda" if accelerator == "gpu" else accelerator
    plain = data.adata.X
    data.adata.X = SparseRows(plain)
    model = GEARS(data, device=device)
    data.adata.X = plain
    model.model_initialize(hidden_size=settings["n_hidden"])
    model.train(
        epochs=settings["max_epochs"], lr=settings["lr"], weight_decay=settings["weight_decay"]
    )
    return model


def predict(model: Any, control: np.ndarray, wanted: list[dict[str, Any]]) -> np.ndarray:
    """Predicted means, float32 ``(conditions, genes)``.

    GEARS averages over 300 control cells drawn at random, to which it adds a change that does not
    depend on the cell. From the mean of all controls it comes without the noise of that draw.
    """
    genes = pd.DataFrame(index=model.adata.var_names)
    obs = pd.DataFrame({"condition": [CONTROL]}, index=["mean"])
    model.adata = ad.AnnData(sp.csr_matrix(control[None, :], dtype=np.float32), obs=obs, var=genes)
    rows = []
    for condition in wanted:
        model.saved_pred = {}  # its keys take genes "A", "B" for one gene "A_B"
        (row,) = model.predict([genes_of(condition["condition"])]).values()
        rows.append(np.asarray(row, dtype=np.float32).ravel())
    return np.stack(rows)


def run(folder: Path, work: Path) -> None:
    """Check, train, predict."""
    import torch
    from gears import PertData

    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    settings, wanted = request["settings"], request["conditions"]
    cells = ad.read_h5ad(folder / "cells.h5ad")
    control = cells.var.pop("control_mean").to_numpy()
    np.random.seed(settings["seed"])  # noqa: NPY002  GEARS draws from the global state
    torch.manual_seed(settings["seed"])
    graph_folder = Path(settings["graph_folder"])
    copy_graph(graph_folder, work)
    data = PertData(str(work), default_pert_graph=settings["gene_graph"] == "preset")
    data.adata = cells
    data.set_pert_genes()
    report: dict[str, Any] = {"refused": ""}
    try:
        skip = settings["missing"] == "skip"
        report["outside"], lost = check_graph(set(data.pert_names), cells, wanted, skip=skip)
        report["left_out"] = lost
    except RefusedError as error:
        report["refused"] = str(error)
        raise
    finally:
        (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    cells = cells[~cells.obs["condition"].isin(lost)].copy()
    wanted = [w for w in wanted if w["condition"] not in lost]
    model = train(data, cells, settings, work)
    copy_graph(work, graph_folder)  # read by now: a broken download is not kept
    model.save_model(str(folder / "model"))
    obs = pd.DataFrame([w["columns"] for w in wanted], index=[w["name"] for w in wanted], dtype=str)
    var = pd.DataFrame(index=cells.var_names)
    ad.AnnData(predict(model, control, wanted), obs=obs, var=var).write_h5ad(
        folder / "prediction.h5ad"
    )


def main(folder: str) -> None:
    """Run in a working folder that is removed afterwards: GEARS writes every cell twice, dense."""
    here = Path(folder).resolve()
    work = here / "work"
    shutil.rmtree(work, ignore_errors=True)
    (work / "data").mkdir(parents=True)  # GEARS writes to ./data
    start = Path.cwd()
    os.chdir(work)
    try:
        run(here, work)
    except RefusedError as error:
        sys.exit(str(error))
    finally:
        os.chdir(start)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
