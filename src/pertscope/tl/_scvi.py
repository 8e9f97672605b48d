"""Latent variables of counts, by a variational autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pertscope._core import keys
from pertscope.tl._scvi_embedding import (
    embed_scvi,
    keep_representation,
    places_of,
    require_unique_genes,
)
from pertscope.tl._scvi_training import batches_of, counts_of, train_scvi

if TYPE_CHECKING:
    from anndata import AnnData
    from scvi.model import SCVI


def scvi(
    adata: AnnData,
    *,
    n_latent: int = 256,
    n_hidden: int = 128,
    n_layers: int = 2,
    likelihood: str = "zinb",
    max_epochs: int | None = None,
    batch_size: int = 128,
    layer: str | None = None,
    accelerator: str = "auto",
    seed: int = 0,
    key_added: str = "X_scvi",
) -> SCVI:
    r"""Train scVI on the counts of all cells, and keep their latent means.

    .. math::
        z \sim N(0, I), \qquad x \mid z, s \sim \mathrm{ZINB}(\ell \, f_\rho(z, s),\ \theta,\
        f_h(z, s)), \qquad q(z \mid x) = N(\mu(x), \mathrm{diag}\, \sigma^2(x))

    for the counts :math:`x` of a cell, their total :math:`\ell` and its batch :math:`s`. The
    decoder reads the registered batch, so that :math:`z` need not hold it; the encoder does not,
    and embeds cells of any batch: see :func:`~pertscope.tl.transfer_scvi`.

    Trained by scvi-tools on its own copy of what it writes to, with a progress bar.

    Parameters
    ----------
    adata
        Registered screen, counts in memory. All genes are used: select them first
        (Bendidi et al. took 8,000 to 15,000 variable ones).
    n_latent
        Dimensions of :math:`z`.
    n_hidden, n_layers
        Width and number of hidden layers of the encoder, and of the decoder.
    likelihood
        Distribution of a count: ``"zinb"``, ``"nb"`` or ``"poisson"``.
    max_epochs
        Passes over the cells; by default scvi-tools' ``400 min(1, 20000 / cells)``.
    batch_size
        Cells per step.
    layer
        Layer of the counts; by default the registered one.
    accelerator
        ``"auto"`` takes a GPU where there is one; otherwise Lightning's names.
    seed
        Seed of the first weights, the order of the cells and the draws of :math:`z`.
    key_added
        Key of the representation.

    Returns
    -------
    The model. Writes ``.obsm[key_added]``, the means :math:`\mu(x)`, float32
    ``(cells, n_latent)``, and how they were made to
    ``.uns["pertscope"]["representations"][key_added]`` (JSON).

    Raises
    ------
    ImportError
        If scvi-tools is not installed.
    KeyError
        If the screen is not registered, or has no such layer.
    KeyboardInterrupt
        If training was interrupted; nothing is written.
    ValueError
        If the layer holds no counts, a cell has none, genes are named twice, or a setting is out of
        range.

    References
    ----------
    Lopez et al., Nature Methods 15 (2018). Bendidi et al., Benchmarking transcriptomics foundation
    models for perturbation analysis (2024), appendices A.5 and C.3: the defaults, but that they
    state no `n_hidden` nor `max_epochs`, and gave it log-normalised values.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_genes=50, n_cells_per_condition=5, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> model = ps.tl.scvi(adata, n_latent=10, max_epochs=1, accelerator="cpu")
    >>> adata.obsm["X_scvi"].shape
    (1200, 10)
    """
    keys.check_key(key_added)
    counts = counts_of(adata, layer)
    require_unique_genes(adata)
    settings: dict[str, Any] = {
        "n_latent": n_latent,
        "n_hidden": n_hidden,
        "n_layers": n_layers,
        "likelihood": likelihood,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "seed": seed,
    }
    batches = batches_of(adata)
    model = train_scvi(counts, batches, adata.var_names, accelerator=accelerator, **settings)
    means = embed_scvi(model, counts, places_of(model, adata, 1.0))
    how = {"function": "scvi", **settings, "n_cells": adata.n_obs, "n_genes": adata.n_vars}
    how["batch_key"] = next(iter(batches.columns), None)
    keep_representation(adata, key_added, means, how)
    return model
