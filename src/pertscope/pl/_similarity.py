"""Which conditions look alike: observed, and as predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.messages import nearest
from pertscope.ev._comparison import Options
from pertscope.ev._judged import observe, predicted
from pertscope.ev._statistics import check_logfc, check_statistics
from pertscope.ev.families.collapse import similarities
from pertscope.pl._condition_scores import condition_names
from pertscope.pl._style import panels, starts_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from pertscope._core.conditions import Conditions

PANEL, LARGEST_PANEL, BAR_WIDTH = 2.4, 3.2, 1.0
LABEL_POINTS, LABEL_SPACE = 7.0, 1.25
"""Size of the names of conditions, and the space that each needs, in sizes."""


def similarity(
    adata: AnnData,
    predictions: str | Sequence[str] | None = None,
    *,
    statistic: str = "effect",
    split: str | None = "test",
    covariates: Mapping[str, str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the cosine similarities of all pairs of conditions, observed and predicted.

    One heatmap of the observed conditions, one of each prediction, all in the order of a
    hierarchical clustering (average linkage, ``1 - cosine``) of the observed ones. A good
    prediction repeats the pattern of the observation; a collapsed one is similar everywhere. Below
    each stands the mean over pairs of two conditions. The distance between the matrices is
    ``matrix_distance`` of :func:`pertscope.ev.collapse_metrics`.

    Parameters
    ----------
    adata
        Registered screen with predictions; in memory, backed or dask.
    predictions
        Names of the predictions to show; all by default.
    statistic
        What is compared: ``"effect"``, ``"logfc"``, or another one of
        :func:`pertscope.ev.error_metrics`.
    split
        Part of the split to show; ``None`` for all predicted conditions.
    covariates
        Covariate values of the conditions to show, such as ``{"cell_type": "K562"}``; all by
        default.
    axes
        One Axes for the observation and one for each prediction; by default a new figure.

    Returns
    -------
    The Axes: the observation's, then those of the predictions. The conditions are named where
    there is room for all names. A condition that was not predicted is grey.

    Raises
    ------
    KeyError
        If there are no predictions, none of a name, or no such covariate.
    ValueError
        If the statistic is unknown or undefined, `axes` are not as many as panels, or fewer than
        two conditions are left.

    References
    ----------
    Wu et al., PerturBench (2024), figures C.2 and C.3.

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
    >>> [ax.get_title() for ax in ps.pl.similarity(adata)]
    ['observed', 'mean_effect']
    """
    check_statistics([statistic])
    judged = observe(adata, split)
    check_logfc(judged.side, [statistic])
    chosen = _chosen(judged.conditions, dict(covariates or {}))
    compared = predicted(adata, judged, predictions, options=Options(), warn=False)
    matrices: dict[str, np.ndarray] = {}
    some = np.zeros(len(judged.conditions), dtype=bool)
    for name, rows, comparison in compared:
        values = comparison.values(comparison.predicted, statistic)
        matrix = np.full((len(some), len(some)), np.nan)
        matrix[np.ix_(rows, rows)] = similarities(values)
        matrices[name] = matrix
        some[rows] = True
    if split is None:
        chosen = chosen[some[chosen]]
    if len(chosen) < 2:
        raise ValueError(f"{len(chosen)} condition(s) cannot be compared with each other.")
    whole = judged.compare(judged.side, Options())
    observed = similarities(whole.values(judged.side, statistic)[chosen])
    order = _clustered(observed)
    shown = {"observed": observed} | {n: m[np.ix_(chosen, chosen)] for n, m in matrices.items()}

    size = _panel_size(len(chosen))
    drawn = panels(
        len(shown),
        axes,
        what="heatmaps",
        size=(size, size + 0.3),
        extra_width=BAR_WIDTH,
        n_columns=5,
    )
    for ax, (name, matrix) in zip(drawn, shown.items(), strict=True):
        _heatmap(ax, matrix[np.ix_(order, order)], name)
    specs = [spec for ax in drawn if (spec := ax.get_subplotspec())]
    n_rows = max(1, len({spec.rowspan.start for spec in specs}))
    bar = drawn[0].figure.colorbar(
        drawn[0].images[0], ax=drawn, shrink=0.6 / n_rows, pad=0.02, ticks=[-1, -0.5, 0, 0.5, 1]
    )
    bar.set_label(f"cosine, {statistic}")
    table = judged.conditions.take(chosen[order]).table
    screen = judged.conditions.screen
    renamed = table.rename(columns={screen.perturbation_key: keys.PERTURBATION})
    _name_conditions(drawn, list(condition_names(renamed, list(screen.covariate_keys))))
    return drawn


def _panel_size(n: int) -> float:
    """Inches that a panel needs to have all its conditions named, if that is not too many."""
    needed = n * LABEL_POINTS * LABEL_SPACE / 72 + 0.7
    return max(PANEL, needed) if needed <= LARGEST_PANEL else PANEL


def _chosen(conditions: Conditions, covariates: dict[str, str]) -> np.ndarray:
    match = np.ones(len(conditions), dtype=bool)
    for key, value in covariates.items():
        if key not in conditions.screen.covariate_keys:
            raise KeyError(
                f"{key!r} is no covariate; {nearest(key, conditions.screen.covariate_keys)}."
            )
        here = (conditions.table[key] == str(value)).to_numpy()
        if not here.any():
            raise ValueError(
                f"no judged condition has {key!r} {value!r}; "
                f"{nearest(value, conditions.table[key].unique())}."
            )
        match &= here
    return np.flatnonzero(match)


def _clustered(matrix: np.ndarray) -> np.ndarray:
    """Order of conditions in which similar ones are neighbours."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = np.clip(1 - (matrix + matrix.T) / 2, 0, 2)
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average"))


def _heatmap(ax: Axes, matrix: np.ndarray, name: str) -> None:
    import matplotlib as mpl

    colors = mpl.colormaps["RdBu_r"].with_extremes(bad="0.8")
    ax.imshow(np.ma.masked_invalid(matrix), cmap=colors, vmin=-1, vmax=1)
    ax.set_title(name, fontsize="medium")
    ax.set_xticks([])
    ax.set_yticks([])
    pairs = matrix[~np.eye(len(matrix), dtype=bool)]
    known = pairs[~np.isnan(pairs)]
    if len(known):
        ax.set_xlabel(f"mean {known.mean():.2f}", fontsize="small", color="0.35")


def _name_conditions(axes: Sequence[Axes], names: list[str]) -> None:
    """Names beside the panels that begin a row, if all of them fit there."""
    first = [ax for ax in axes if starts_row(ax)]
    figure = axes[0].figure.canvas.figure
    needed = len(names) * LABEL_POINTS * LABEL_SPACE * figure.dpi / 72
    fit = needed <= figure.bbox.height
    if fit:
        for ax in first:
            ax.set_yticks(range(len(names)), names, fontsize=LABEL_POINTS)
            ax.tick_params(axis="y", length=0, pad=2)
        figure.draw_without_rendering()  # only now the size of the panels is known
        fit = all(ax.get_window_extent().height >= needed for ax in first)
    if not fit:
        for ax in first:
            ax.set_yticks([])
            ax.set_ylabel(f"{len(names)} conditions", fontsize="small")
