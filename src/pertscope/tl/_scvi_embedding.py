"""What the encoder of an SCVI makes of cells, and how it is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pertscope._core import keys
from pertscope._core.matrix import row_block
from pertscope._core.messages import listed
from pertscope._core.screen import require_actual
from pertscope.tl._scvi_training import scvi_class

if TYPE_CHECKING:
    from anndata import AnnData
    from scvi.model import SCVI

BLOCK_VALUES = 2**24
"""Values of cells that are dense at a time: 64 MiB."""


def require_embedder(model: SCVI) -> None:
    """Refuse a model that cannot embed cells of batches that it has not seen."""
    if not isinstance(model, scvi_class()):
        raise TypeError(f"expected a scvi.model.SCVI, got {type(model).__name__}.")
    if not model.is_trained_:
        raise ValueError("the model is not trained: call its `train`, or `ps.tl.scvi`.")
    module = model.module
    if module.encode_covariates or module.latent_distribution != "normal":
        raise ValueError(
            "the model's encoder reads covariates, or its latent space is not normal: train one "
            "with `encode_covariates=False` and `latent_distribution='normal'`, as `ps.tl.scvi`."
        )


def require_unique_genes(adata: AnnData) -> None:
    """Refuse genes that are named twice: they are matched by name."""
    if not adata.var_names.is_unique:
        raise ValueError("`.var_names` are not unique: call `adata.var_names_make_unique()` first.")


def places_of(model: SCVI, adata: AnnData, min_shared: float) -> np.ndarray:
    """Column of each of the model's genes in a screen, int64 ``(genes,)``; -1 where missing.

    Raises
    ------
    ValueError
        If genes are named twice, or less than the share `min_shared` of the model's is there.
    """
    if not 0 < min_shared <= 1:
        raise ValueError(f"`min_shared`={min_shared} must be above 0 and at most 1.")
    require_unique_genes(adata)
    genes = pd.Index(np.asarray(model.get_var_names()).astype(str))
    places = adata.var_names.get_indexer(genes)
    n_shared = int((places >= 0).sum())
    if n_shared < max(1, min_shared * len(genes)):
        raise ValueError(
            f"the screen has {n_shared} of the model's {len(genes)} genes, less than "
            f"`min_shared`={min_shared} of them: the model's are named {listed(genes, 3)}, the "
            f"screen's {listed(adata.var_names, 3)}."
        )
    return places.astype(np.int64)


def embed_scvi(model: SCVI, x: Any, places: np.ndarray) -> np.ndarray:
    r"""Means of the posterior :math:`q(z \mid x)`, float32 ``(cells, n_latent)``.

    By blocks of cells, and without a new AnnData, which scvi-tools would keep for good.

    Parameters
    ----------
    x
        Counts ``(cells, genes of the screen)``, in memory or not.
    places
        Column of each of the model's genes; a missing one counts 0.
    """
    import torch

    from pertscope.models.isolation import own_random_state

    there = np.flatnonzero(places >= 0)
    n_rows = max(1, BLOCK_VALUES // len(places))
    means = []
    model.module.eval()
    with own_random_state(0), torch.inference_mode():  # the encoder also draws, for nothing
        for start in range(0, x.shape[0], n_rows):
            block = row_block(x, start, start + n_rows)[:, places[there]]
            counts = np.zeros((block.shape[0], len(places)), np.float32)
            counts[:, there] = block.toarray() if sp.issparse(block) else block
            batch = torch.zeros((len(counts), 1), dtype=torch.int64)  # not read
            found = model.module.inference(torch.from_numpy(counts), batch)
            means.append(found["qz"].loc.cpu().numpy())
    return np.concatenate(means).astype(np.float32, copy=False)


def keep_representation(
    adata: AnnData, key: str, vectors: np.ndarray, how: dict[str, object]
) -> None:
    """Write vectors of cells to ``.obsm``, and how they were made to ``.uns``."""
    require_actual(adata)
    adata.obsm[key] = vectors
    kept = adata.uns.setdefault(keys.UNS, {}).setdefault(keys.REPRESENTATIONS, {})
    kept[key] = json.dumps(how)
