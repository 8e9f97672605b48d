"""Unseen compounds by their fingerprints, where nothing is known to help: L1000 wells.

349 compounds in one cell line on two plates, effects against the vehicle wells of the same plate;
six fingerprints x nearest neighbours, ridge, lasso, five folds; against the mean effect of the
other compounds, random vectors, the idealised embedding and the experimental error. Nothing should
beat the train mean convincingly, and the report says by itself whether anything does: bootstrap
intervals over compounds of the paired differences, as wide as so many comparisons ask for. The
script fails if anything but the idealised embedding does, or that does not. Reads
``prnet_l1000/demo.h5ad`` under ``$PERTSCOPE_DATA`` or ``../shared/data``. Run with ``python
benchmarks/unseen_l1000.py [N_COMPOUNDS]``, of which the first are taken.
"""

from __future__ import annotations

import contextlib
import io
import sys

import anndata as ad
from _data import find
from _unseen_report import report

import pertscope as ps

KINDS = ("maccs", "topological", "ecfp", "secfp", "avalon", "erg")
REGRESSORS = ("knn", "ridge", "lasso")
BOUNDS = ("train_mean", "no_change", "random", "idealised")
CONTROL = "DMSO"


def wells(n_compounds: int | None = None) -> tuple[ad.AnnData, dict[str, str]]:
    """Registered wells, plates as batches, and the SMILES of each compound."""
    adata = ad.read_h5ad(find("prnet_l1000/demo.h5ad"))
    name = adata.obs["condition"].astype(str)
    if n_compounds is not None:
        kept = {CONTROL, *sorted(set(name) - {CONTROL})[:n_compounds]}
        adata = adata[name.isin(kept).to_numpy()].copy()
    ps.pp.register(
        adata,
        perturbation_key="condition",
        control=CONTROL,
        batch_key="rna_plate",
        combination_separator=None,
    )
    known = adata.obs[adata.obs["condition"].astype(str) != CONTROL].drop_duplicates("condition")
    smiles = dict(zip(known["condition"].astype(str), known["SMILES"].astype(str), strict=True))
    return adata, smiles


def main() -> None:
    """Print all errors, and the verdict."""
    adata, smiles = wells(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    plates = {"batch_size": "large"}  # effects within a plate: a well holds many cells
    ps.ev.ceiling(adata, metrics=["l2_ba_ate"], method="hierarchical-bootstrap", **plates)
    screen = ps.tl.effects(adata, **plates)
    with contextlib.redirect_stdout(io.StringIO()):
        for kind in KINDS:
            table = ps.tl.embed_fingerprints(smiles, kind)
            ps.pp.add_perturbation_embedding(screen, table, kind)
    for regressor in REGRESSORS:
        ps.tl.cross_validate(screen, regressor, KINDS, bounds=BOUNDS)
    print(f"{len(smiles)} compounds x {screen.n_vars} genes, five folds over compounds\n")
    better = report(screen, adata.uns["ceiling"])
    claimed = [p for p in better if not p.endswith("_idealised")]
    if claimed or not better:
        sys.exit(f"of what should not, {claimed} beat the train mean; {better} do")


if __name__ == "__main__":
    main()
