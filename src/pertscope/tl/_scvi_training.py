"""Training of scvi-tools' SCVI on counts of a screen."""

from __future__ import annotations

import signal
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pertscope._core.conditions import label_column
from pertscope._core.keys import COUNTS_LAYER
from pertscope._core.matrix import blocks, is_backed, matrix_of
from pertscope._core.messages import listed, nearest
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from lightning.pytorch import Callback, Trainer
    from scvi.model import SCVI

LIKELIHOODS = ("zinb", "nb", "poisson")


def scvi_class() -> type[SCVI]:
    """The class of scvi-tools, or an error that says how to install it."""
    try:
        from scvi.model import SCVI
    except ImportError as error:
        raise ImportError("this needs scvi-tools: `pip install 'pertscope[scvi]'`.") from error
    return SCVI


def counts_of(adata: AnnData, layer: str | None) -> Any:
    """Counts in `layer`, by default the registered one, as they are stored.

    Raises
    ------
    KeyError
        If the screen is not registered, or has no such layer.
    ValueError
        If a value is negative, fractional, NaN or infinite, or all are 0 and 1.
    """
    registered = Screen.of(adata).layer
    layer = registered if layer is None else layer
    x = matrix_of(adata, layer)
    where = "`.X`" if layer is None else f"layer {layer!r}"
    highest = 0.0
    for _, _, block in blocks(x):
        values = block.data if sp.issparse(block) else np.asarray(block).ravel()
        if values.min(initial=0) < 0 or not np.array_equal(values, np.rint(values)):
            found = "negative values" if values.min(initial=0) < 0 else "fractions or NaN"
            hint = "round what are intensities, or name the layer of counts, `layer=...`."
            if COUNTS_LAYER in adata.layers and layer != COUNTS_LAYER:
                hint = f"pass `layer={COUNTS_LAYER!r}`."
            raise ValueError(f"{where} holds {found}, no counts, which scVI needs: {hint}")
        highest = max(highest, float(values.max(initial=0)))
    if not 1 < highest < np.inf:
        raise ValueError(f"{where} holds no counts, which scVI needs: its highest is {highest:g}.")
    return x


def batches_of(adata: AnnData) -> pd.DataFrame:
    """The registered batches as a table of the cells; no columns where there are none."""
    key = Screen.of(adata).batch_key
    labels = {} if key is None else {key: label_column(adata.obs, key)}
    return pd.DataFrame(labels, index=adata.obs_names)


def train_scvi(
    counts: Any,
    batches: pd.DataFrame,
    genes: pd.Index,
    *,
    n_latent: int,
    n_hidden: int,
    n_layers: int,
    likelihood: str,
    max_epochs: int | None,
    batch_size: int,
    accelerator: str,
    seed: int,
) -> SCVI:
    """Train on all cells given, in an AnnData of its own: scvi-tools writes to what it trains on.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted.
    ValueError
        If a setting is out of range, or there are fewer than three cells.
    """
    import torch
    from anndata import AnnData

    model_class = scvi_class()
    sizes = {"n_latent": n_latent, "n_hidden": n_hidden, "n_layers": n_layers}
    _check(likelihood, {**sizes, "max_epochs": max_epochs, "batch_size": batch_size})
    n_cells = len(batches)
    if n_cells < 3:
        raise ValueError(f"scVI is to be trained on {n_cells} cell(s): it needs three or more.")
    if is_backed(counts):
        raise ValueError("the counts lie on disk: read them first, `adata = adata.to_memory()`.")
    x = sp.csr_matrix(counts) if sp.issparse(counts) else np.asarray(counts)
    empty = np.flatnonzero(np.asarray(x.sum(axis=1)).ravel() == 0)
    if len(empty):
        raise ValueError(
            f"{len(empty)} cell(s) have no counts, which scVI cannot be trained on: "
            f"{listed(batches.index[empty], 3)}. `scanpy.pp.filter_cells(adata, min_counts=1)` "
            "drops them."
        )
    with _own_state(seed), _epoch_bar() as bar:
        own = AnnData(x, obs=batches.copy(), var=pd.DataFrame(index=genes))
        model_class.setup_anndata(own, batch_key=next(iter(batches.columns), None))
        model = model_class(own, **sizes, gene_likelihood=likelihood)
        model.train(
            max_epochs=max_epochs,
            accelerator=accelerator,
            batch_size=batch_size,
            # all cells, in an order that torch's generator alone decides
            train_size=1.0,
            shuffle_set_split=False,
            # no scale can be taken from a batch of one cell
            datasplitter_kwargs={
                "drop_last": n_cells > batch_size and 0 < n_cells % batch_size < 3
            },
            benchmark=torch.backends.cudnn.benchmark,  # Lightning would set it for good
            enable_progress_bar=False,  # scvi-tools' writes to stdout
            callbacks=[bar],
        )
    return model


def _check(likelihood: str, numbers: dict[str, int | None]) -> None:
    from pertscope.models.checks import require_positive

    if likelihood not in LIKELIHOODS:
        raise ValueError(f"`likelihood`={likelihood!r}; {nearest(likelihood, LIKELIHOODS)}.")
    require_positive(**numbers)
    if numbers["batch_size"] == 1:
        raise ValueError("`batch_size`=1: no scale can be taken from one cell.")


@contextmanager
def _epoch_bar() -> Iterator[Callback]:
    """A progress bar of epochs, as our own networks have it."""
    from lightning.pytorch.callbacks import LambdaCallback
    from tqdm.auto import tqdm

    with tqdm(desc="training", unit="epoch", leave=None) as bar:

        def start(trainer: Trainer, _: object) -> None:
            bar.reset(trainer.max_epochs)

        def step(trainer: Trainer, _: object) -> None:
            bar.set_postfix(loss=f"{float(trainer.callback_metrics['train_loss']):.4g}")
            bar.update()

        yield LambdaCallback(on_train_start=start, on_train_epoch_end=step)


@contextmanager
def _own_state(seed: int) -> Iterator[None]:
    """Leave random states, Lightning's log and Ctrl-C as they were."""
    from pertscope.models.fitting import HARMLESS
    from pertscope.models.isolation import own_random_state, quiet_lightning

    numpy_state = np.random.get_state()  # noqa: NPY002  # scvi-tools draws from it
    handler = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings(), own_random_state(seed), quiet_lightning():
            for message in (*HARMLESS, ".*smaller than the logging interval.*"):
                warnings.filterwarnings("ignore", message=message)
            yield
    except SystemExit as end:
        # Lightning ends the whole process on Ctrl-C: a notebook must live on
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
