"""Cells of a screen in a representation, with their perturbations and batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from pertscope._core.conditions import label_column
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed, nearest
from pertscope._core.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def named_representations(
    adata: AnnData, use_rep: str | Sequence[str] | None
) -> dict[str, str | None]:
    """What `use_rep` names, one or several: key of ``.obsm`` by name; the layer's is ``"X"``.

    Raises
    ------
    KeyError
        If ``.obsm`` lacks one of them.
    ValueError
        If none is named, or one twice.
    """
    if use_rep is None:
        return {"X": None}
    names = [use_rep] if isinstance(use_rep, str) else list(use_rep)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`use_rep`={names} must name representations, each once.")
    for name in names:
        if name not in adata.obsm:
            raise KeyError(f"`.obsm` has no {name!r}; {nearest(name, adata.obsm)}.")
    return {name: name for name in names}


def representation_of(adata: AnnData, use_rep: str | None) -> np.ndarray:
    """``.obsm[use_rep]``, or the registered layer where `use_rep` is ``None``, ``(cells, d)``.

    Raises
    ------
    KeyError
        If ``.obsm`` has no such entry.
    ValueError
        If it is not two-dimensional, holds NaN or infinite values, or is a sparse layer.
    """
    if use_rep is None:
        what, x = "the registered layer", matrix_of(adata, Screen.of(adata).layer)
        if sp.issparse(x) or getattr(x, "format", None) in {"csr", "csc"}:
            raise ValueError(
                "the registered layer is sparse, `use_rep=None` is for features such as those of "
                "images: name a representation in `.obsm`."
            )
        x = x.compute() if hasattr(x, "compute") else x[:]
    else:
        if use_rep not in adata.obsm:
            raise KeyError(f"`.obsm` has no {use_rep!r}; {nearest(use_rep, adata.obsm)}.")
        what, x = f"`.obsm[{use_rep!r}]`", adata.obsm[use_rep]
    x = np.asarray(x.toarray() if sp.issparse(x) else x)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"{what} has shape {x.shape}: it must be (cells, dimensions).")
    x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{what} holds NaN or infinite values in {len(bad)} row(s), first at "
            f"{listed(adata.obs_names[bad], 3)}: drop these cells or embed them again."
        )
    return x


@dataclass(frozen=True)
class Represented:
    """Cells of a screen in a representation.

    Attributes
    ----------
    x
        float32 or float64 ``(cells, d)``.
    perturbation
        Code of the perturbation of each cell, int64 ``(cells,)``.
    names
        Labels of the perturbations, object ``(perturbations,)``.
    control
        Code of the control.
    batch
        Code of the batch of each cell, int64 ``(cells,)``; all 0 where there are no batches.
    batches
        Labels of the batches, object ``(batches,)``.
    """

    x: np.ndarray
    perturbation: np.ndarray
    names: np.ndarray
    control: int
    batch: np.ndarray
    batches: np.ndarray

    @property
    def is_control(self) -> np.ndarray:
        """Whether a cell is a control, bool ``(cells,)``."""
        return self.perturbation == self.control


def represented(adata: AnnData, use_rep: str | None, *, need_batches: bool = False) -> Represented:
    """Read a representation with the labels of its cells.

    Raises
    ------
    KeyError
        If the screen is not registered, or the representation or a column does not exist.
    ValueError
        If values are not finite, labels are missing, or batches are needed and there are none.
    """
    screen = Screen.of(adata)
    if need_batches:
        require_batches(screen)
    labels = label_column(adata.obs, screen.perturbation_key)
    names = labels.categories.to_numpy(dtype=object)
    control = np.flatnonzero(names == screen.control)
    batch, batches = np.zeros(adata.n_obs, np.int64), np.array(["all"], dtype=object)
    if screen.batch_key is not None:
        column = label_column(adata.obs, screen.batch_key)
        batch, batches = column.codes.astype(np.int64), column.categories.to_numpy(dtype=object)
    return Represented(
        representation_of(adata, use_rep),
        labels.codes.astype(np.int64),
        names,
        int(control[0]) if len(control) else -1,
        batch,
        batches,
    )


def require_batches(screen: Screen) -> str:
    """Batch column of a screen, or an error that says how to register one."""
    if screen.batch_key is None:
        raise ValueError(
            "the screen has no batches, which this needs: register it with `batch_key=...`."
        )
    return screen.batch_key


def sums_by_group(x: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Sum of the rows of each group, float64 ``(groups, d)``; negative codes belong to none."""
    rows = np.flatnonzero(codes >= 0)
    member = sp.csr_array((np.ones(len(rows)), (codes[rows], rows)), shape=(n_groups, len(codes)))
    return np.asarray(member @ x.astype(np.float64, copy=False))
