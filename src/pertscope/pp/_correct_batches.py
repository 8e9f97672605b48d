"""What all corrections of batches share that are fitted on all cells at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.messages import listed
from pertscope._core.representation import representation_of, require_batches
from pertscope._core.screen import Screen, require_actual
from pertscope.pp._fit_on_controls import batch_labels, output_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


def correct_batches(
    adata: AnnData,
    use_rep: str | None,
    correct: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    name: str,
    min_cells: int,
    batch_key: str | None,
    key_added: str | None,
) -> None:
    """Correct a representation for batches and write it.

    Parameters
    ----------
    correct
        Takes float64 ``(cells, d)`` and the batch of each cell, int64 ``(cells,)``; gives the
        corrected representation.
    name
        Name of the method, for messages and the default key.
    min_cells
        Cells that a batch needs.
    """
    key = output_key(use_rep, name, key_added)
    column = batch_key or require_batches(Screen.of(adata))
    x = representation_of(adata, use_rep)
    batches, codes = np.unique(batch_labels(adata, column), return_inverse=True)
    if len(batches) == 1:
        raise ValueError(f"`.obs[{column!r}]` has one batch, {batches[0]!r}: nothing to correct.")
    few = batches[np.bincount(codes) < min_cells]
    if len(few):
        raise ValueError(
            f"`{name}` needs {min_cells} cells per batch or more; {len(few)} batch(es) of "
            f"{column!r} have fewer: {listed(few)}."
        )
    result = correct(x.astype(np.float64), codes.astype(np.int64)).astype(x.dtype)
    if not np.isfinite(result).all():
        raise ValueError(f"`{name}` gave NaN or infinite values; nothing was written.")
    require_actual(adata)
    adata.obsm[key] = result
