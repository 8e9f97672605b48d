"""Axes of :func:`pertscope.tl.pca`: fitted on cells, or read from those that were kept."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pertscope._core.centred_matrix import CentredMatrix
from pertscope._core.conditions import label_column
from pertscope._core.keys import SCREEN, UNS, check_key
from pertscope._core.matrix import looks_like_counts, matrix_of
from pertscope._core.messages import listed, nearest
from pertscope._core.moments import Moments, moments
from pertscope._core.principal_components import principal_components
from pertscope._core.representation import require_batches
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from anndata import AnnData

DEFAULT_COMPONENTS = 50


class Keys(NamedTuple):
    """Where an embedding is kept, by scanpy's names."""

    obsm: str = "X_pca"
    varm: str = "PCs"
    uns: str = "pca"

    @classmethod
    def of(cls, key_added: str | None) -> Keys:
        """Scanpy's own names, or one name for all."""
        return cls() if key_added is None else cls(*[check_key(key_added)] * 3)

    @property
    def mean(self) -> str:
        """Column of ``.var``: unlike an entry of ``.uns``, it stays with its genes."""
        return f"{self.uns}_mean"


@dataclass(frozen=True)
class Axes:
    """Axes in the genes of an AnnData.

    Attributes
    ----------
    genes
        Genes that count, bool ``(genes,)``.
    loadings
        float64 ``(genes, components)``; 0 for genes that do not count.
    mean
        Mean over all cells they were fitted on, float64 ``(genes,)``; NaN where unknown.
    params
        How they were fitted.
    """

    genes: np.ndarray
    loadings: np.ndarray
    mean: np.ndarray
    params: dict[str, Any]


@dataclass(frozen=True)
class Cells:
    """Cells to embed.

    Attributes
    ----------
    x
        Cells x genes, of any kind.
    layer
        Layer that is; ``None`` for ``.X``.
    batch_key
        Column of the batches, where each has its own mean.
    codes
        Batch of each cell, int64 ``(cells,)``; all 0 where there are none.
    names
        Labels of the batches.
    """

    x: Any
    layer: str | None
    batch_key: str | None
    codes: np.ndarray
    names: np.ndarray

    @classmethod
    def of(
        cls, adata: AnnData, layer: str | None, batch_key: str | None, *, by_batch: bool
    ) -> Cells:
        """Read the matrix and the batches; refuse batches of one cell."""
        registered = SCREEN in adata.uns.get(UNS, {})
        if layer is None and registered:
            layer = Screen.of(adata).layer
        x = matrix_of(adata, layer)
        if not by_batch:
            if batch_key is not None:
                raise ValueError("`batch_key` is for `by_batch=True`.")
            return cls(x, layer, None, np.zeros(adata.n_obs, np.int64), np.array(["all"]))
        key = batch_key or require_batches(Screen.of(adata))
        labels = label_column(adata.obs, key)
        names = labels.categories.to_numpy(dtype=object)
        codes = labels.codes.astype(np.int64)
        alone = names[np.bincount(codes, minlength=len(names)) < 2]
        if len(alone):
            raise ValueError(
                f"{len(alone)} batch(es) of {key!r} have one cell, which is their mean: "
                f"{listed(alone)}. Drop these cells, or pass `by_batch=False`."
            )
        return cls(x, layer, key, codes, names)

    def moments(self, adata: AnnData) -> Moments:
        """Moments by batch, in one pass that refuses NaN and infinite values."""
        return moments(self.x, self.codes, len(self.names), names=adata.var_names)

    def centred(self, axes_genes: np.ndarray, mean: np.ndarray) -> CentredMatrix:
        """Cells minus `mean`, float64 ``(batches, genes)``, in the genes that count."""
        return CentredMatrix(self.x, axes_genes, mean[:, axes_genes], self.codes)


def counting_genes(adata: AnnData, mask_var: str | None) -> np.ndarray:
    """Genes that count, bool ``(genes,)``."""
    if mask_var is None:
        return np.ones(adata.n_vars, bool)
    if mask_var not in adata.var:
        raise KeyError(f"`.var` has no column {mask_var!r}; {nearest(mask_var, adata.var)}.")
    column = adata.var[mask_var]
    if column.dtype != bool:
        raise ValueError(f"`.var[{mask_var!r}]` must be bool, it is {column.dtype}.")
    return column.to_numpy(bool)


def n_components(n_comps: int | None, cells: Cells, n_genes: int) -> int:
    """Components to look for: those asked for, or the default if there can be so many."""
    n_cells, n_batches = len(cells.codes), len(cells.names)
    most = min(n_cells - n_batches, n_genes)
    if most < 1 or (n_comps or 0) > most:
        of_batches = f" in {n_batches} batches" if cells.batch_key else ""
        raise ValueError(
            f"{n_cells} cell(s){of_batches} and {n_genes} gene(s) have {max(most, 0)} components "
            f"at most, `n_comps`={n_comps}."
        )
    return n_comps or min(DEFAULT_COMPONENTS, most)


def fit_axes(
    cells: Cells, genes: np.ndarray, found: Moments, n_comps: int | None, method: str, seed: int
) -> tuple[Axes, np.ndarray]:
    """Axes along which cells vary most, and the variance along each."""
    matrix = cells.centred(genes, found.mean)
    if not found.m2[:, genes].any():
        of_batch = "" if cells.batch_key is None else " of each batch"
        raise ValueError(f"all cells{of_batch} are the same: they have no axes of variation.")
    if method == "exact" and matrix.is_cut_by_genes:
        raise ValueError(
            "`method`='exact' needs whole cells, and the matrix lies on disk gene after gene "
            "(CSC): use 'randomized', or write it as CSR."
        )
    wanted = n_components(n_comps, cells, matrix.shape[1])
    axes = principal_components(matrix, wanted, method=method, seed=seed)
    n = len(axes.variance)
    if n < (n_comps or 0):
        raise ValueError(f"the cells vary along {n} axes, `n_comps`={n_comps} is more.")
    loadings = np.zeros((len(genes), n))
    loadings[genes] = axes.loadings
    mean = found.pool(np.zeros(len(found.n), np.int64), 1).mean[0]
    params = {"method": axes.method, "seed": seed, "n_passes": axes.n_passes}
    return Axes(genes, loadings, mean, params), axes.variance


def reference_axes(
    reference: AnnData, keys: Keys, adata: AnnData, cells: Cells, n_comps: int | None
) -> Axes:
    """Axes that were fitted on other cells, in the genes of `adata`."""
    there = keys.varm in reference.varm and keys.mean in reference.var
    params = dict(reference.uns.get(keys.uns, {}).get("params", {}))
    if not there or not {"by_batch", "counts", "method"} <= params.keys():
        raise KeyError(
            f"the reference has no `.varm[{keys.varm!r}]`, `.var[{keys.mean!r}]` and "
            f"`.uns[{keys.uns!r}]` of ours: call `ps.tl.pca` on it, with the same `key_added`."
        )
    by_batch = cells.batch_key is not None
    if bool(params["by_batch"]) != by_batch:
        raise ValueError(
            f"the reference was embedded with `by_batch={not by_batch}`: pass the same here."
        )
    if bool(params["counts"]) != looks_like_counts(cells.x):
        warnings.warn(
            "only one of the reference and `adata` holds counts: name the `layer` that holds what "
            "the reference was fitted on.",
            UserWarning,
            stacklevel=3,
        )
    for names, what in ((reference.var_names, "the reference"), (adata.var_names, "`adata`")):
        if not names.is_unique:
            raise ValueError(f"`.var_names` of {what} are not unique: genes match by name.")
    loadings = np.asarray(reference.varm[keys.varm], np.float64)
    if n_comps is not None and n_comps > loadings.shape[1]:
        raise ValueError(
            f"the reference has {loadings.shape[1]} components, `n_comps`={n_comps} is more."
        )
    counts_there = (loadings != 0).any(axis=1)
    place = reference.var_names.get_indexer(adata.var_names)
    genes = (place >= 0) & counts_there[place]
    if not genes.any():
        raise ValueError(
            "no gene of the reference is among those of `adata`, which are named "
            f"{listed(adata.var_names, 3)}, there {listed(reference.var_names, 3)}."
        )
    missing = reference.var_names[counts_there].difference(adata.var_names[genes], sort=False)
    if len(missing):
        warnings.warn(
            f"{len(missing)} of {counts_there.sum()} genes of the reference are missing, cells "
            f"count as being at their mean: {listed(missing)}.",
            UserWarning,
            stacklevel=3,
        )
    mean = reference.var[keys.mean].to_numpy(np.float64)[place]
    aligned = np.where(genes[:, None], loadings[place, :n_comps], 0.0)
    of_fit = {name: params[name] for name in ("method", "seed", "n_passes")}
    return Axes(genes, aligned, np.where(genes, mean, np.nan), of_fit | {"projected": True})
