"""Fit GEARS, the reference implementation, in a process of its own."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pertscope._core.keys import check_key
from pertscope._core.messages import listed
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from anndata import AnnData


def fit_gears(
    adata: AnnData,
    *,
    conditions: pd.DataFrame | Sequence[str] | None = None,
    gene_graph: Literal["preset", "screen"] = "preset",
    missing: Literal["error", "skip"] = "error",
    n_hidden: int = 64,
    max_epochs: int = 20,
    batch_size: int = 32,
    lr: float = 1e-3,
    weight_decay: float = 5e-4,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    seed: int = 0,
    python: str | os.PathLike[str] | None = None,
    graph_folder: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    key_added: str = "gears",
) -> None:
    """Train GEARS on the screen's split, and predict.

    ``x = x_0 + f(sum_p GNN(e)_p)``: a change that perturbations share with their neighbours in a
    graph of genes. The package cell-gears trains and predicts, in a process of its own.

    Parameters
    ----------
    adata
        Registered, split, log-normalised screen of genetic perturbations, alone or in pairs, in
        one combination of covariates.
    conditions
        Conditions to predict: labels, or a table with the condition columns; by default those in
        val and test. They may apply perturbations that were never seen, if the graph has them.
    gene_graph
        Perturbations that GEARS knows: ``"preset"`` is its own list of some 9,900 genes,
        ``"screen"`` the screen's genes and perturbations that Gene Ontology annotates.
    missing
        What to do where a perturbation is not in the graph: ``"error"``, or ``"skip"`` to leave
        its conditions out of training and prediction, with a warning.
    n_hidden
        Width of embeddings and layers.
    max_epochs
        Passes over the train part. The weights of the epoch with the least error in val are kept.
    batch_size
        Cells per step.
    lr, weight_decay
        Of Adam. The rate halves after every epoch.
    accelerator
        ``"auto"`` takes a GPU where there is one.
    seed
        Seed of weights, order of cells, and matched controls.
    python
        Interpreter of an environment with cell-gears, torch-geometric, requests and anndata. By
        default this one, with the extra ``gears``.
    graph_folder
        Where GEARS's gene graph is kept between calls. By default ``gears`` in the cache folder of
        :func:`pertscope.datasets.load`.
    folder
        New or empty folder in which to keep what was exchanged (``cells.h5ad``, ``request.json``,
        ``prediction.h5ad``) and GEARS's own ``model``. By default they are removed.
    progress
        Show what GEARS says while it runs.
    key_added
        Name of the prediction.

    Returns
    -------
    ``None``: the model is one of another process. Writes its prediction to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32.

    Raises
    ------
    KeyError
        If the screen is not registered or not split.
    ValueError
        Before training, if there is something that GEARS cannot do: several combinations of
        covariates or doses, more than two perturbations at once, perturbations outside its graph.
    RuntimeError
        If GEARS fails; with the end of what it said.

    Warns
    -----
    UserWarning
        If conditions are left out.

    Notes
    -----
    On its first run GEARS downloads its gene graph from Harvard Dataverse and *unpickles* it, which
    can run any code that the file holds; nothing checks the files. See :doc:`/models/gears`.

    References
    ----------
    Roohani, Huang and Leskovec, "Predicting transcriptional outcomes of novel multigene
    perturbations with GEARS", Nature Biotechnology 2023.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_combinations=6, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_combinations(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> ps.tl.fit_gears(adata, python="/envs/gears/bin/python")
    Traceback (most recent call last):
    ValueError: GEARS knows no covariates, the screen has 3 combinations of 'cell_type': ...
    >>> one = adata[adata.obs["cell_type"] == "A"].copy()
    >>> ps.tl.fit_gears(one, python="/envs/gears/bin/python", max_epochs=20)  # doctest: +SKIP
    """
    import anndata as ad

    from pertscope.datasets._fetch import cache_folder
    from pertscope.pp._add_prediction import add_prediction
    from pertscope.tl._gears_exchange import check_settings, run_script, write_request

    screen = Screen.of(adata)
    check_key(key_added)
    graphs = cache_folder() / "gears" if graph_folder is None else Path(graph_folder).expanduser()
    settings = {
        "gene_graph": gene_graph,
        "missing": missing,
        "n_hidden": n_hidden,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "lr": lr,
        "weight_decay": weight_decay,
        "accelerator": accelerator,
        "seed": seed,
        "graph_folder": str(graphs.resolve()),
    }
    check_settings(settings)
    with _folder(folder) as place:
        write_request(adata, screen, place, conditions=conditions, settings=settings)
        left_out = run_script(place, python, progress=progress)
        prediction = ad.read_h5ad(place / "prediction.h5ad")
    if left_out:
        warnings.warn(
            f"GEARS left out {len(left_out)} condition(s) with perturbations outside its gene "
            f"graph: {listed(left_out)}.",
            UserWarning,
            stacklevel=2,
        )
    add_prediction(adata, prediction, key_added)


@contextmanager
def _folder(folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    """`folder`, which must be new or empty; or a temporary one."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="pertscope-gears-") as temporary:
            yield Path(temporary)
        return
    place = Path(folder).expanduser()
    place.mkdir(parents=True, exist_ok=True)
    if any(place.iterdir()):
        raise ValueError(f"`folder`={str(folder)!r} is not empty: give a new one.")
    yield place
