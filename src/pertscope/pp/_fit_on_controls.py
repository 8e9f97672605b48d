"""What all post-processing of a representation shares: fit on controls by batch, apply, write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.affine import Affine, Controls, apply_by_batch
from pertscope._core.conditions import label_column
from pertscope._core.keys import check_key
from pertscope._core.messages import listed
from pertscope._core.representation import representation_of
from pertscope._core.screen import Screen, require_actual, require_anndata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

MISSING = ("error", "global")


def fit_on_controls(
    adata: AnnData,
    use_rep: str | None,
    fit: Callable[[Controls], Sequence[Affine]],
    *,
    name: str,
    min_controls: int,
    batch_key: str | None,
    by_batch: bool,
    missing: str,
    fit_on: AnnData | None,
    key_added: str | None,
) -> None:
    """Fit one map per batch on the controls of a screen, and write the mapped representation.

    Parameters
    ----------
    fit
        Takes the controls, gives one map per batch.
    name
        Name of the method, for messages and the default key.
    min_controls
        Controls that a batch needs.
    """
    if missing not in MISSING:
        raise ValueError(f"`missing`={missing!r} must be one of {list(MISSING)}.")
    key = output_key(use_rep, name, key_added)
    require_anndata(adata)
    source = adata if fit_on is None else fit_on
    screen = Screen.of(source)
    column = (batch_key or screen.batch_key) if by_batch else None
    x = representation_of(adata, use_rep)
    fitted_x = x if fit_on is None else representation_of(source, use_rep)
    if fitted_x.shape[1] != x.shape[1]:
        raise ValueError(
            f"the representation has {x.shape[1]} dimensions, that of `fit_on` "
            f"{fitted_x.shape[1]}: they must be the same ones."
        )
    is_control = np.asarray(label_column(source.obs, screen.perturbation_key) == screen.control)
    if is_control.sum() < min_controls:
        raise ValueError(
            f"`{name}` needs {min_controls} control(s) or more, there are {is_control.sum()} of "
            f"{screen.control!r}."
        )
    of_rows, of_controls = batch_labels(adata, column), batch_labels(source, column)[is_control]
    names, codes = np.unique(np.append(of_rows, of_controls), return_inverse=True)
    batch, known = codes[: len(of_rows)], codes[len(of_rows) :]
    few = np.flatnonzero(np.bincount(known, minlength=len(names)) < min_controls)
    lost = names[np.intersect1d(few, batch)]
    if len(lost) and missing == "error":
        raise ValueError(_too_few(lost, column, screen.control, min_controls))
    controls = Controls(fitted_x[is_control], known, names.tolist(), frozenset(few.tolist()))
    result = apply_by_batch(x, batch, fit(controls))
    require_actual(adata)
    adata.obsm[key] = result


def output_key(use_rep: str | None, name: str, key_added: str | None) -> str:
    """Key of ``.obsm`` to write to: ``"X_pca_tvn"`` unless another is given."""
    return check_key(f"{use_rep or 'X'}_{name}" if key_added is None else key_added)


def batch_labels(adata: AnnData, column: str | None) -> np.ndarray:
    """Label of the batch of each cell, object ``(cells,)``; all the same without a column."""
    if column is None:
        return np.full(adata.n_obs, "all", dtype=object)
    return np.asarray(label_column(adata.obs, column), dtype=object)


def _too_few(batches: np.ndarray, column: str | None, control: str, min_controls: int) -> str:
    wanted = "no" if min_controls == 1 else f"fewer than {min_controls}"
    return (
        f"{len(batches)} batch(es) of {column!r} have {wanted} controls ({control!r}): "
        f'{listed(batches)}. Drop their cells, or pass `missing="global"` to fit them on the '
        "controls of all batches."
    )
