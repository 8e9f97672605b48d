"""Predictions kept in a screen: stored, read, and laid beside the observed conditions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pertscope._core import keys
from pertscope._core.conditions import Conditions, ambiguous_labels, conditions_of
from pertscope._core.matrix import is_backed, looks_like_counts, matrix_of, row_block
from pertscope._core.messages import listed, nearest
from pertscope._core.moments import moments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.screen import Screen

CONTROLS = "controls"
"""``prediction.uns[CONTROLS]``: predicted controls, set aside."""

SCALE_CELLS, SCALE_FACTOR = 256, 3.0
"""Cells of the screen whose total tells its scale, and how far a prediction may be off."""


def stored_predictions(adata: AnnData) -> dict[str, AnnData]:
    """Predictions in `adata`, in the order in which they are stored: a file sorts them by name."""
    return adata.uns.get(keys.UNS, {}).get(keys.PREDICTIONS, {})


def chosen_predictions(adata: AnnData, names: str | Sequence[str] | None) -> dict[str, AnnData]:
    """Predictions of these names, or all.

    Raises
    ------
    KeyError
        If there is none of that name, or none at all.
    """
    stored = stored_predictions(adata)
    if not stored:
        raise KeyError(
            "the screen holds no predictions: call a `ps.tl.fit_*` function, or "
            "`ps.pp.add_prediction`."
        )
    wanted = list(stored) if names is None else [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in stored:
            raise KeyError(f"the screen holds no prediction {name!r}; {nearest(name, stored)}.")
    return {name: _with_genes(stored[name], name, adata) for name in wanted}


def _with_genes(prediction: AnnData, name: str, adata: AnnData) -> AnnData:
    """Prediction of the genes that the screen has now: it may have been subset since."""
    if prediction.var_names.equals(adata.var_names):
        return prediction
    missing = adata.var_names.difference(prediction.var_names)
    if len(missing):
        raise ValueError(
            f"prediction {name!r} lacks {len(missing)} of the screen's {adata.n_vars} genes: "
            f"{listed(missing)}. Predict again."
        )
    return prediction[:, adata.var_names]


def align_prediction(
    prediction: AnnData, adata: AnnData, screen: Screen, *, check_scale: bool = False
) -> AnnData:
    """Copy of `prediction` with the screen's condition columns and genes, controls set aside.

    With `check_scale`, for predictions from elsewhere, its values must be on the screen's scale.

    Raises
    ------
    KeyError
        If a condition column is missing.
    ValueError
        If genes are missing or named twice, values are NaN or infinite, only controls are left, or
        one holds counts and the other their logarithms.

    Warns
    -----
    UserWarning
        If a row of the prediction has, on average, over three times the expression of a cell of the
        screen, or less than a third, as have effects without their controls.
    """
    import anndata as ad

    conditions = _conditions_of(prediction, screen)
    names = prediction.var_names
    if not names.is_unique:
        raise ValueError(
            f"the prediction names gene(s) more than once: {listed(names[names.duplicated()])}."
        )
    place = names.get_indexer(adata.var_names)
    if (place < 0).any():
        raise ValueError(
            f"the prediction lacks {int((place < 0).sum())} of the screen's {adata.n_vars} genes: "
            f"{listed(adata.var_names[place < 0])}. Predict all of them, or subset the screen."
        )
    if prediction.X is None:
        raise ValueError("the prediction has no `.X`.")
    x = prediction.X if np.array_equal(place, np.arange(len(names))) else prediction.X[:, place]
    values = x.data if sp.issparse(x) else np.asarray(x)
    if not np.isfinite(values).all():
        bad = ~np.isfinite(np.asarray(x.sum(axis=1), dtype=np.float64)).ravel()
        which = conditions.index[np.unique(conditions.codes[bad])]
        raise ValueError(f"the prediction holds NaN or infinite values, in {listed(which)}.")
    is_control = conditions.is_control[conditions.codes]
    if is_control.all():
        raise ValueError("the prediction holds no rows but controls.")
    perturbed = x[~is_control]  # a copy, the only one
    if check_scale:
        _check_scale(perturbed, matrix_of(adata, screen.layer))
    obs = conditions.table.iloc[conditions.codes].astype("category").set_axis(prediction.obs_names)
    var = pd.DataFrame(index=adata.var_names.copy())

    def part(x: Any, rows: np.ndarray) -> AnnData:
        chosen = obs.loc[rows].copy()
        for key in chosen:
            chosen[key] = chosen[key].cat.remove_unused_categories()
        return ad.AnnData(X=x, obs=chosen, var=var.copy())

    aligned = part(perturbed, ~is_control)
    if is_control.any():
        aligned.uns[CONTROLS] = part(x[is_control], is_control)
    return aligned


def _check_scale(predicted: Any, observed: Any) -> None:
    """Compare values and totals of predicted rows with those of the screen's first cells."""
    counts = looks_like_counts(observed), looks_like_counts(predicted)
    if counts == (False, True):
        raise ValueError(
            "the prediction holds integer counts, the screen does not: put it on the screen's "
            "scale, log1p of counts per ten thousand."
        )
    if is_backed(observed) and getattr(observed, "format", None) == "csc":
        return  # its rows would cost a read of the whole file
    cells = row_block(observed, 0, min(SCALE_CELLS, observed.shape[0]))
    if cells.min() < 0:
        return  # image profiles: totals mean nothing
    ours, theirs = (float(x.sum(dtype=np.float64)) / x.shape[0] for x in (cells, predicted))
    if ours == 0 or 1 / SCALE_FACTOR <= theirs / ours <= SCALE_FACTOR:
        return
    if counts == (True, False) and 0 < theirs < ours:
        raise ValueError(
            "the screen holds integer counts, the prediction values on another scale, "
            f"{ours / theirs:.3g} times lower: predict counts, or call `ps.pp.normalize` "
            "and judge on the log scale."
        )
    hint = "" if theirs > 0 else " Expression is wanted, not effects: add the control means."
    warnings.warn(
        f"a row of the prediction has {theirs / ours:.3g} times the total expression of a cell of "
        f"the screen: is it on the scale of the registered layer?{hint}",
        UserWarning,
        stacklevel=4,
    )


def _conditions_of(prediction: AnnData, screen: Screen) -> Conditions:
    """Conditions of a prediction's rows; two labels for one perturbation are refused."""
    for key in screen.condition_keys:
        if key not in prediction.obs.columns:
            raise KeyError(
                f"the prediction's `.obs` has no column {key!r}; "
                f"{nearest(key, prediction.obs.columns)}."
            )
    conditions = conditions_of(prediction.obs, screen)
    same = ambiguous_labels(dict.fromkeys(conditions.labels), screen)
    if same:
        raise ValueError(
            "the prediction has two labels for one perturbation: "
            f"{listed(f'{a} = {b}' for a, b in same)}."
        )
    return conditions


def store_prediction(adata: AnnData, key: str, prediction: AnnData) -> None:
    """Keep an aligned prediction under `key`."""
    entry = adata.uns.setdefault(keys.UNS, {}).setdefault(keys.PREDICTIONS, {})
    entry[key] = prediction


def predicted_means(prediction: AnnData, screen: Screen) -> tuple[Conditions, np.ndarray]:
    """Conditions of a prediction, and their means, float64 ``(conditions, genes)``."""
    conditions = conditions_of(prediction.obs, screen)
    x = prediction.X
    if len(conditions) == prediction.n_obs:
        means = np.empty((len(conditions), prediction.n_vars))
        means[conditions.codes] = x.toarray() if sp.issparse(x) else x
        return conditions, means
    return conditions, moments(
        x, conditions.codes, len(conditions), names=prediction.var_names
    ).mean
