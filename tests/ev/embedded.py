"""Screens with a representation of known content."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd

import pertscope as ps


def make_embedded(
    n_perturbations: int = 6,
    *,
    n_cells: int = 24,
    n_controls: int = 60,
    n_batches: int = 4,
    n_genes: int = 12,
    d: int = 8,
    signal: float = 0.0,
    batch_effect: float = 0.0,
    seed: int = 0,
) -> ad.AnnData:
    """Registered screen: `signal` is the length of the shift of each perturbation in ``X_rep``.

    ``X`` is a linear function of ``X_rep`` with noise of standard deviation 0.1, as CSR would hold
    it after normalisation: not counts. Every perturbation has its cells in all batches.
    """
    rng = np.random.default_rng(seed)
    labels = [f"p{i}" for i in range(n_perturbations)]
    perturbation = np.array(["control"] * n_controls + [p for p in labels for _ in range(n_cells)])
    batch = np.concatenate(
        [np.arange(n_controls) % n_batches]
        + [np.arange(n_cells) % n_batches for _ in range(n_perturbations)]
    )
    order = rng.permutation(len(batch))
    perturbation, batch = perturbation[order], batch[order]
    shift = rng.normal(size=(n_perturbations, d))
    shift *= signal / np.linalg.norm(shift, axis=1, keepdims=True)
    of_label = dict(zip(labels, shift, strict=True)) | {"control": np.zeros(d)}
    x = rng.normal(size=(len(batch), d)) + np.array([of_label[p] for p in perturbation])
    x += batch_effect * rng.normal(size=(n_batches, d))[batch]
    expression = x @ rng.normal(size=(d, n_genes)) + 0.1 * rng.normal(size=(len(batch), n_genes))
    obs = pd.DataFrame(
        {
            "perturbation": pd.Categorical(perturbation),
            "batch": pd.Categorical([f"b{b}" for b in batch]),
        },
        index=[f"cell{i}" for i in range(len(batch))],
    )
    adata = ad.AnnData(expression.astype(np.float32), obs=obs)
    adata.obsm["X_rep"] = x
    ps.pp.register(adata, batch_key="batch")
    return adata


def centre_by_batch(adata: ad.AnnData, use_rep: str, key_added: str) -> None:
    """Take the mean of each batch's controls away."""
    screen = ps.get.screen(adata).screen
    x = np.array(adata.obsm[use_rep], np.float64)
    batch = adata.obs[screen.batch_key].to_numpy(str)
    control = (adata.obs[screen.perturbation_key] == screen.control).to_numpy()
    for b in np.unique(batch):
        x[batch == b] -= x[(batch == b) & control].mean(axis=0)
    adata.obsm[key_added] = x


def papalexi_pca(adata: ad.AnnData) -> ad.AnnData:
    """Register and normalise Papalexi's screen; 20 components in ``X_pca``, centred too."""
    import scanpy as sc

    ps.pp.register(
        adata, perturbation_key="perturbation", control="non-targeting", batch_key="bio_rep"
    )
    ps.pp.normalize(adata)
    sc.pp.pca(adata, n_comps=20)
    centre_by_batch(adata, "X_pca", "X_centred")
    return adata
