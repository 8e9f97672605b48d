"""Predicted against observed effects of one condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import match_conditions, screen_conditions
from pertscope._core.distances import pearson
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed, nearest
from pertscope._core.moments import moments
from pertscope._core.predictions import chosen_predictions, predicted_means
from pertscope._core.screen import Screen
from pertscope.pl._labels import name_points
from pertscope.pl._style import BLUE, one_axes, tidy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from matplotlib.axes import Axes

    from pertscope._core.conditions import Conditions

POINT = "0.6"


def effects(
    adata: AnnData,
    prediction: str,
    perturbation: str,
    *,
    covariates: Mapping[str, str] | None = None,
    n_genes: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Plot predicted against observed effects of one condition, its strongest genes named.

    Effects are condition means minus the mean of the observed matched controls. On the diagonal a
    prediction is perfect; on the horizontal line it predicts nothing.

    Parameters
    ----------
    adata
        Registered screen with predictions.
    prediction
        Name of the prediction.
    perturbation
        Label of the perturbation; ``"A+B"`` is ``"B+A"``.
    covariates
        Covariate values of the condition; may be left out where the perturbation has one condition.
    n_genes
        Number of genes to name: those with the largest observed effects.
    ax
        Axes to draw into; by default a new figure.

    Returns
    -------
    The Axes.

    Raises
    ------
    KeyError
        If there is no such prediction.
    ValueError
        If the condition was not predicted or not observed, or several match.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_mean_effect(adata)
    >>> row = ps.get.prediction(adata, "mean_effect").obs.iloc[0]
    >>> ax = ps.pl.effects(
    ...     adata, "mean_effect", row["perturbation"], covariates={"cell_type": row["cell_type"]}
    ... )
    """
    screen = Screen.of(adata)
    predicted, means = predicted_means(chosen_predictions(adata, prediction)[prediction], screen)
    place = _find(predicted, perturbation, dict(covariates or {}), prediction)
    observed = screen_conditions(adata, screen)
    here = match_conditions(predicted.table.iloc[[place]], observed)[0]
    name = predicted.index[place]
    if here < 0:
        raise ValueError(f"condition {name!r} was predicted, but never observed.")
    pair = np.array([here, observed.control_of[here]])
    codes = np.full(len(observed), -1)
    codes[pair] = [0, 1]
    mean = moments(
        matrix_of(adata, screen.layer), codes[observed.codes], 2, names=adata.var_names
    ).mean
    x, y = mean[0] - mean[1], means[place] - mean[1]

    ax = one_axes(ax, (4.6, 4.4))
    ax.axline((0, 0), slope=1, color="0.75", lw=1, zorder=0)
    ax.axhline(0, color="0.85", lw=1, zorder=0)
    ax.axvline(0, color="0.85", lw=1, zorder=0)
    ax.plot(x, y, "o", ms=3, color=POINT, mec="none")
    named = np.argsort(-np.abs(x), kind="stable")[:n_genes]
    ax.plot(x[named], y[named], "o", ms=4, color=BLUE, mec="none")
    ax.margins(0.08)
    r = pearson(y[None], x[None])[0]
    ax.set_title(f"{name}, {prediction} (r = {r:.2f})", fontsize="medium")
    ax.set_xlabel("observed effect")
    ax.set_ylabel("predicted effect")
    tidy(ax)
    sides = np.where(x[named] >= 0, 1, -1)
    name_points(ax, x[named], y[named], names=list(adata.var_names[named]), sides=sides)
    return ax


def _find(
    predicted: Conditions, perturbation: str, covariates: dict[str, str], prediction: str
) -> int:
    screen = predicted.screen
    unknown = [k for k in covariates if k not in screen.covariate_keys]
    if unknown:
        raise KeyError(
            f"{unknown[0]!r} is no covariate; {nearest(unknown[0], screen.covariate_keys)}."
        )
    parts = screen.components(perturbation)
    match = np.array([c == parts for c in predicted.components])
    if not match.any():
        raise ValueError(
            f"prediction {prediction!r} has no {perturbation!r}; "
            f"{nearest(perturbation, dict.fromkeys(predicted.labels))}."
        )
    for key, value in covariates.items():
        match &= (predicted.table[key] == str(value)).to_numpy()
    found = np.flatnonzero(match)
    if len(found) != 1:
        same = predicted.index[[c == parts for c in predicted.components]]
        raise ValueError(
            f"{len(found)} conditions match {perturbation!r} and {covariates}; name one of "
            f"{listed(same)} by `covariates`."
        )
    return int(found[0])
