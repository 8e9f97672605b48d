"""What replicates of the experiment would score, quantile by quantile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.messages import nearest
from pertscope._core.screen import Screen
from pertscope.ev._bounds import QUANTILE as CONVENTION
from pertscope.pl._style import (
    BLUE,
    VERMILION,
    better,
    direction,
    end_of_first_row,
    legend_beside,
    metric_title,
    panels,
    tidy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

FEW = 30
"""Up to so many conditions have a line each; of more, a band shows the middle 90 %."""


def ceiling(
    adata: AnnData,
    key: str = "ceiling",
    *,
    metric: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the scores of replicates of the experiment against their quantile.

    Each condition has a thin line, or, if there are many, a band holds the middle 90 % of the
    conditions at every quantile; a thick line is their median. Marked is the quantile that is
    conventionally taken for the experimental error: 0.9, or 0.1 where higher is better. A model
    that scores no worse than it cannot be told from a replicate.

    Parameters
    ----------
    adata
        Registered screen for which :func:`pertscope.ev.ceiling` was called.
    key
        Key of its table.
    metric
        Name such as ``"rmse_effect"``; by default every metric of the table, one panel each.
    axes
        One Axes per metric to draw into; by default a new figure.

    Returns
    -------
    The Axes, one per metric.

    Raises
    ------
    KeyError
        If there is no such table, or the metric is not in it.
    ValueError
        If `axes` are not as many as metrics.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, section 4.7.1.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.ev.ceiling(adata, metrics=["rmse_effect", "pearson_effect"], method="bootstrap")
    >>> [ax.get_xlabel() for ax in ps.pl.ceiling(adata)]
    ['quantile of replicates', 'quantile of replicates']
    """
    curves = _curves(adata, key)
    if metric is not None:
        if metric not in curves:
            raise KeyError(f"`.uns[{key!r}]` has no {metric!r}; {nearest(metric, curves)}.")
        curves = {metric: curves[metric]}
    drawn = panels(len(curves), axes, what="metrics", size=(2.9, 3.0), extra_width=1.9)
    for ax, (name, curve) in zip(drawn, curves.items(), strict=True):
        _draw(ax, name, curve)
    handles = {
        label: handle
        for ax in drawn
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    legend_beside(end_of_first_row(drawn), list(handles.values()))
    return drawn


def _curves(adata: AnnData, key: str) -> dict[str, pd.DataFrame]:
    """Values of each metric, float64 ``(conditions, quantiles)``."""
    screen = Screen.of(adata)
    table = adata.uns.get(key)
    if table is None or keys.QUANTILE not in table:
        raise KeyError(f"`.uns[{key!r}]` holds no ceiling: call `ps.ev.ceiling`.")
    name = table[keys.METRIC].astype(str) + "_" + table[keys.STATISTIC].astype(str)
    condition = [*screen.covariate_keys, keys.PERTURBATION]
    found = {}
    for metric in name.unique():
        rows = table[name == metric]
        label = rows[condition].astype(str).agg("|".join, axis=1)
        # pivot_table would drop conditions whose values are all NaN
        found[metric] = rows.assign(label=label).pivot(  # noqa: PD010
            index="label", columns=keys.QUANTILE, values=keys.VALUE
        )
    return found


def _draw(ax: Axes, metric: str, curve: pd.DataFrame) -> None:
    known = curve.dropna()
    x = known.columns.to_numpy(dtype=float)
    values = known.to_numpy(dtype=float)
    if len(values) > FEW:
        low, high = np.quantile(values, [0.05, 0.95], axis=0)
        ax.fill_between(x, low, high, color="0.87", lw=0, label="90 % of conditions")
    elif len(values) > 1:
        lines = ax.plot(x, values.T, color="0.7", lw=0.8)
        lines[0].set_label("one condition")
    if len(values):
        median = np.median(values, axis=0)
        ax.plot(x, median, color=BLUE, lw=2, label="median of conditions")
    title = metric_title(metric)
    higher = direction(metric)
    if higher is not None and len(values):
        quantile = 1 - CONVENTION if higher else CONVENTION
        at = np.interp(quantile, x, median)
        ax.axvline(quantile, color=VERMILION, ls="--", lw=1, zorder=1, label="experimental error")
        ax.plot(quantile, at, "o", color=VERMILION, ms=5)
        title += f"\n{at:.3g} at quantile {quantile:.1f}"
    ax.set_title(title, fontsize="small")
    ax.set_xlim(-0.02, 1.02)
    ax.set_xticks([0, 0.5, 1])
    ax.set_xlabel("quantile of replicates", fontsize="small")
    ax.set_ylabel(better(metric) or "value", fontsize="small", color="0.35")
    tidy(ax, grid="y")
