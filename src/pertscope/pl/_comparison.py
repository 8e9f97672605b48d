"""One prediction against another, condition by condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.pl._condition_scores import condition_scores
from pertscope.pl._labels import name_points
from pertscope.pl._style import BLUE, axis_label, direction, one_axes, tidy

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

POINT = "0.5"


def comparison(
    adata: AnnData,
    first: str,
    second: str,
    *,
    metric: str = "rmse_mean",
    n_labels: int = 5,
    ax: Axes | None = None,
) -> Axes:
    """Plot the scores of one prediction against those of another, one point per condition.

    On the diagonal both are equally good. The title says in which share of the conditions each of
    them is better; ties are counted for neither. The conditions that differ most are named.

    Parameters
    ----------
    adata
        Registered screen that was judged by ``ps.ev`` functions.
    first, second
        Names of the predictions on the horizontal and on the vertical axis.
    metric
        Name such as ``"rmse_mean"``.
    n_labels
        Number of conditions to name.
    ax
        Axes to draw into; by default a new figure.

    Returns
    -------
    The Axes.

    Raises
    ------
    KeyError
        If nothing was judged yet, or the metric or a prediction was not.
    ValueError
        If no condition has both scores, or `n_labels` is negative.

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
    >>> models = ps.tl.fit_no_change(adata), ps.tl.fit_additive(adata)
    >>> ps.ev.error_metrics(adata)
    >>> ax = ps.pl.comparison(adata, "no_change", "additive")
    >>> ax.get_xlabel().splitlines()
    ['no_change', 'rmse_mean (lower is better)']
    """
    if n_labels < 0:
        raise ValueError(f"`n_labels`={n_labels} must not be negative.")
    scores = condition_scores(adata, metric, [first, second])
    x, y = scores.to_numpy().T
    known = ~(np.isnan(x) | np.isnan(y))
    if not known.any():
        raise ValueError(f"no condition has a {metric!r} of both {first!r} and {second!r}.")
    x, y, names = x[known], y[known], scores.index.to_numpy()[known]

    ax = one_axes(ax, (4.6, 4.8))
    ax.axline((x.mean(), x.mean()), slope=1, color="0.75", lw=1, zorder=0)
    ax.plot(x, y, "o", ms=4 if len(x) < 100 else 3, color=POINT, alpha=0.7, mec="none")
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    pad = 0.06 * (high - low) or 0.5
    ax.set_xlim(low - pad, high + pad)
    ax.set_ylim(low - pad, high + pad)
    ax.set_box_aspect(1)
    ax.locator_params(nbins=5)
    ax.set_title(_who_wins(x, y, first, second, metric), fontsize="medium")
    ax.set_xlabel(f"{first}\n{axis_label(metric)}")
    ax.set_ylabel(f"{second}\n{axis_label(metric)}")
    tidy(ax)
    different = np.argsort(-np.abs(x - y), kind="stable")[:n_labels]
    different = different[x[different] != y[different]]
    ax.plot(x[different], y[different], "o", ms=5, color=BLUE, mec="none")
    x, y, names = x[different], y[different], names[different]
    name_points(ax, x, y, names=list(names), sides=np.where(x > y, 1, -1), in_columns=True)
    return ax


def _who_wins(x: np.ndarray, y: np.ndarray, first: str, second: str, metric: str) -> str:
    """Share of conditions in which each is better; or higher, where neither is better."""
    higher = direction(metric)
    gain = x - y if higher is None or higher else y - x
    word = "higher" if higher is None else "better"
    a, b = (100 * np.mean(wins) for wins in (gain > 0, gain < 0))
    return f"{first} is {word} in {a:.0f} %,\n{second} in {b:.0f} %\nof {len(x)} conditions"
