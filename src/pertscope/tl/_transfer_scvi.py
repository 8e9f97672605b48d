"""Latent variables of one screen by a model that was trained on another."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.messages import listed
from pertscope.tl._scvi_embedding import (
    embed_scvi,
    keep_representation,
    places_of,
    require_embedder,
)
from pertscope.tl._scvi_training import counts_of

if TYPE_CHECKING:
    from anndata import AnnData
    from scvi.model import SCVI


def transfer_scvi(
    adata: AnnData,
    model: SCVI,
    *,
    layer: str | None = None,
    min_shared: float = 0.5,
    key_added: str = "X_transfer_scvi",
) -> None:
    r"""Embed a screen by an scVI that was trained on another one.

    The means :math:`\mu(x)` of :math:`q(z \mid x)`, see :func:`~pertscope.tl.scvi`. Nothing is
    trained. The encoder reads no batch, so new ones are embedded as any.

    Genes are matched by name. One that the screen lacks counts 0 in all its cells, as
    scvi-tools does; one that the model does not know is left out.

    Parameters
    ----------
    adata
        Registered screen of counts, in memory or on disk.
    model
        What :func:`~pertscope.tl.scvi` returned; or any trained ``scvi.model.SCVI`` whose encoder
        reads no covariates, such as one read by ``scvi.model.SCVI.load``.
    layer
        Layer of the counts; by default the registered one.
    min_shared
        Least share of the model's genes that the screen must have.
    key_added
        Key of the representation.

    Returns
    -------
    ``None``. Writes ``.obsm[key_added]``, float32 ``(cells, n_latent)``, and to
    ``.uns["pertscope"]["representations"][key_added]`` (JSON) ``n_model_genes``, ``n_genes``
    found, the ``missing_genes`` by name and how many others were left out, ``n_left_out``.

    Raises
    ------
    ImportError
        If scvi-tools is not installed.
    KeyError
        If the screen is not registered, or has no such layer.
    TypeError
        If the model is no SCVI.
    ValueError
        If the layer holds no counts, the model is not trained or reads covariates, genes are named
        twice, or too few are shared.

    Warns
    -----
    UserWarning
        If genes of the model are missing.

    References
    ----------
    Bendidi et al., Benchmarking transcriptomics foundation models for perturbation analysis
    (2024), "Transfer scVI" of Table 2.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_genes=50, n_cells_per_condition=5, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> model = ps.tl.scvi(adata, n_latent=10, max_epochs=1, accelerator="cpu")
    >>> other = ps.datasets.simulate_screen(n_genes=60, n_cells_per_condition=5, seed=1)
    >>> ps.pp.register(other)
    >>> ps.tl.transfer_scvi(other, model)
    >>> other.uns["pertscope"]["representations"]["X_transfer_scvi"]
    '{"function": "transfer_scvi", "n_model_genes": 50, "n_genes": 50, ..., "n_left_out": 10}'
    """
    keys.check_key(key_added)
    require_embedder(model)
    counts = counts_of(adata, layer)
    places = places_of(model, adata, min_shared)
    means = embed_scvi(model, counts, places)
    missing = np.asarray(model.get_var_names())[places < 0].astype(str).tolist()
    n_found = len(places) - len(missing)
    if missing:
        warnings.warn(
            f"{len(missing)} of the model's {len(places)} genes are missing, and count 0 in all "
            f"cells: {listed(missing)}.",
            UserWarning,
            stacklevel=2,
        )
    how = {
        "function": "transfer_scvi",
        "n_model_genes": len(places),
        "n_genes": n_found,
        "missing_genes": missing,
        "n_left_out": adata.n_vars - n_found,
    }
    keep_representation(adata, key_added, means, how)
